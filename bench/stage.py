"""What every row is measured on: one installation, what it shares with others, and how much is asked of it."""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from bench.compare import bare
from bench.floors.task import Done
from bench.ground import Ground
from bench.house import House
from bench.pipeline import Pipeline

_WARM_UP: Final = 500


class Size(NamedTuple):
    """``pairs`` of ``messages`` on each side; ``rows`` in the database that has many."""

    pairs: int
    messages: int
    rows: int

    @property
    def warm_up(self) -> int:
        """How many messages a row begins with that do not count."""
        return min(_WARM_UP, self.messages)

    @property
    def people(self) -> int:
        """How many there are to be written to."""
        return max(_WARM_UP, self.messages)


class Stage(NamedTuple):
    """An installation that is ready, with people to write to. ``say`` is told what runs now."""

    ground: Ground
    pipeline: Pipeline
    size: Size
    say: Callable[[str], None]

    @property
    def house(self) -> House:
        """The installation's processes."""
        return self.pipeline.house

    async def bare(self, module: str, task: msgspec.Struct) -> Done:
        """Run a bare loop with its task; raises BenchFailed."""
        return await bare(self.ground.children, self.ground.cores, module, task)

    def saying(self, row_id: str) -> "Stage":
        """The same, with the row's name before what it says."""
        return self._replace(say=lambda words: self.say(f"{row_id}: {words}"))
