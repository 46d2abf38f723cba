"""What reached the peers: appended as it arrives, by the sinks alone. The house's own counters are no evidence."""

import re
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final

from models.vocabulary import Channel

MARK: Final = re.compile(r"token-([0-9a-z]{12})\b")
"""What the text of every message says, once: who reads it anywhere knows which message it was."""


@dataclass
class Ledger:
    """Arrivals by channel and token, each with its time (seconds, monotonic)."""

    arrivals: dict[Channel, dict[str, list[float]]] = field(
        default_factory=lambda: {channel: defaultdict(list) for channel in Channel}
    )

    def note(self, channel: Channel, text: str) -> None:
        """Something whose text is ``text`` was taken."""
        found = MARK.search(text)
        token = found.group(1) if found else "unmarked"
        self.arrivals[channel][token].append(time.monotonic())

    def copies(self, channel: Channel) -> Counter[str]:
        """How often each token arrived."""
        return Counter({token: len(times) for token, times in self.arrivals[channel].items()})

    def count(self) -> int:
        """Everything that arrived, repeats too."""
        return sum(len(times) for tokens in self.arrivals.values() for times in tokens.values())
