"""The processes of ``Procfile``, which whatever starts them one by one is held against."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).parents[2] / "Procfile"


def processes() -> Mapping[str, Sequence[str]]:
    """The command line of each process, by its name."""
    lines = (line for line in _FILE.read_text().splitlines() if not line.startswith("#"))
    return {name: shlex.split(command) for name, command in (line.split(": ", 1) for line in lines)}
