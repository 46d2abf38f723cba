"""What ``wireroom doctor`` found of one part."""

from dataclasses import dataclass
from typing import Final

TIMEOUT_S: Final = 5.0
"""How long a part that is asked may take to answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part; ``mend`` says what to do where it is not well. Well with a mend is a warning."""

    part: str
    ok: bool
    detail: str
    mend: str | None = None
