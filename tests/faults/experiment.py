"""What an experiment is: a coroutine that does something terrible to a house, and finds what came of it."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.support.postgres import PostgresServer


class Size(StrEnum):
    """How much of it."""

    SHORT = "short"
    """Seconds: for the test suite."""
    MINUTES = "minutes"
    """``make faults``."""
    FULL = "full"
    """``make faults-full``: all of them take about an hour."""


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
    """What came of it. ``figures``: what to show, by name; ``faults``: what should not be, in words."""

    figures: Mapping[str, Any]
    faults: list[str]


Experiment = Callable[[Place, Size], Coroutine[Any, Any, Found]]
