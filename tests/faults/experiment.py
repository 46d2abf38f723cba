"""What an experiment is: a coroutine that does something terrible to a house, and finds what came of it."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from tests.support.postgres import PostgresServer

BROKE_OFF: Final = "broke off: "
"""Begins the one fault of an experiment that came to no end: it shows nothing of the house."""


class Size(StrEnum):
    """How much of it."""

    SHORT = "short"
    """Seconds: for the test suite."""
    MINUTES = "minutes"
    """``make faults``."""
    FULL = "full"
    """``make faults-full``: all of them take about an hour."""


KEEPERS: Final = {Size.SHORT: 1, Size.MINUTES: 2, Size.FULL: 2}
"""Of a house of which it is not asked what two of them do to each other: others ask that in short, too."""


@dataclass(frozen=True)
class Place:
    """Where an experiment is done. ``server``: a PostgreSQL that all share; who harms it starts one of its own.

    ``say`` is told what happens now.
    """

    folder: Path
    server: PostgresServer
    seed: int
    say: Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """What came of it. ``figures``: what to show, by name; ``faults``: what should not be, in words.

    ``left_out``: what was not done here, and why. ``provoked``: words of those lines in house.log that the experiment
    itself brings about, and that are no faults therefore.
    """

    figures: Mapping[str, Any]
    faults: list[str]
    left_out: list[str] = field(default_factory=list)
    provoked: tuple[str, ...] = ()

    @property
    def is_nothing(self) -> bool:
        """Whether all of it was left out."""
        return bool(self.left_out) and not self.figures


Experiment = Callable[[Place, Size], Coroutine[Any, Any, Found]]
