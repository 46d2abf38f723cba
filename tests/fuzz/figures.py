"""What is measured while broken bodies are read, and what it may be at most."""

from dataclasses import dataclass, field
from typing import Final

import psutil

LONGEST_S: Final = 1.0
_GROWTH_BYTES: Final = 24 << 20


@dataclass
class Figures:
    """What came of some bodies: how many, the longest time of one (seconds), the process' memory in each third.

    ``warm``: the first of them, after which caches and pools are full; the thirds are of the others.
    """

    bodies: int
    warm: int = 0
    slowest_s: float = 0.0
    refused: int = 0
    memory: list[int] = field(default_factory=list)

    def look(self, number: int) -> None:
        """Keep how much memory the process has, in the middle of each third of the bodies."""
        third = max(1, (self.bodies - self.warm) // 3)
        if number >= self.warm and (number - self.warm) % third == third // 2:
            self.memory.append(psutil.Process().memory_info().rss)

    def check_memory(self) -> None:
        """Raises AssertionError where it grew."""
        assert self.memory[-1] - self.memory[0] < _GROWTH_BYTES, self.memory

    def __str__(self) -> str:
        mebibytes = ", ".join([f"{each / (1 << 20):.0f}" for each in self.memory])
        slowest = f"slowest {self.slowest_s * 1000:.1f} ms"
        return f"{self.bodies:,} bodies, {self.refused:,} refused, {slowest}, memory {mebibytes} MiB"
