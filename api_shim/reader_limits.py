"""How often readers' links may be used to change something: bounded in this process, and in the memory that takes.

What is proved counts for its message. Mail programs' servers click once a message for millions of readers, from few
addresses, and are never to be refused for that (RFC 8058): so a client's address counts only where nothing was proved,
and, much later, where preferences are changed.
"""

import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

from api_shim.paced import Pace, Paced

_MOST_KNOWN: Final = 20_000

OF_A_MESSAGE: Final = Pace(20, 6.0)
UNPROVED: Final = Pace(100, 1.0)
OF_A_CLIENT: Final = Pace(600, 0.1)


class ReaderLimits:
    """Remembers whoever came lately; of too many, whoever has been away for the longest is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most_known: int = _MOST_KNOWN) -> None:
        """``clock`` counts seconds."""
        self._paced = Paced(clock, most_known)

    def __len__(self) -> int:
        return len(self._paced)

    def proved(self, message_id: UUID) -> None:
        """One more by a link of this message; raises Problem (429)."""
        self._paced.count(message_id, OF_A_MESSAGE)

    def unproved(self, client: str) -> None:
        """One more from there with a token that is none of ours; raises Problem (429)."""
        self._paced.count(("unproved", client), UNPROVED)

    def changed(self, client: str) -> None:
        """One more change of preferences from there; raises Problem (429)."""
        self._paced.count(("changed", client), OF_A_CLIENT)
