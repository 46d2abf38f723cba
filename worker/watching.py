"""What the keeper must have seen with its own eyes before it acts: pure rules; the caller brings the time."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from models.store import workers

_STILL_S: Final = 4.0
"""A lease must stand still this long before the keeper's own eyes."""
_BROKEN_TURN_S: Final = 2.5
"""A longer pause between two turns and the keeper has not been watching: it begins anew."""
_SET_BACK_S: Final = 1.5
"""For so long, a turn or two, after the database's clock was set back a transaction may still park by the old time."""


@dataclass(slots=True)
class _Watched:
    renewed_at: int
    still_since: float


class DeathWatch:
    """Which workers have stood still, with a lapsed lease, throughout the keeper's own unbroken turns. Pure."""

    def __init__(self) -> None:
        self._watched: dict[UUID, _Watched] = {}
        self._last_turn = float("-inf")

    def look(self, beats: list[workers.Heartbeat], now: float) -> list[workers.Heartbeat]:
        """Take in what is seen at ``now`` (monotonic seconds); returns those that are dead by now."""
        if now - self._last_turn > _BROKEN_TURN_S:
            self._watched.clear()
        self._last_turn = now
        seen: dict[UUID, _Watched] = {}
        dead = []
        for beat in beats:
            if not beat.stale:
                continue
            before = self._watched.get(beat.id)
            unmoved = before is not None and before.renewed_at == beat.renewed_at
            seen[beat.id] = before if before is not None and unmoved else _Watched(beat.renewed_at, now)
            if now - seen[beat.id].still_since >= _STILL_S:
                dead.append(beat)
        self._watched = seen
        return dead


class SetBack:
    """Whether the database's clock was set back a short while ago, or may have been while nobody looked. Pure."""

    def __init__(self) -> None:
        self._last_ms: int | None = None
        self._until = float("-inf")

    def look(self, now_ms: int, now: float) -> bool:
        """Take in the database's time, seen at ``now`` (monotonic seconds)."""
        if self._last_ms is None or now_ms < self._last_ms:
            self._until = now + _SET_BACK_S
        self._last_ms = now_ms
        return now < self._until
