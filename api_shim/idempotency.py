"""Idempotency keys whose first request this process is working on: a second one need not wait to be told so.

Between processes the database decides (``models.store.idempotency``).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from uuid import UUID

from models.errors import IdempotencyInFlight


class KeysInFlight:
    """The keys in hand, each with its workspace."""

    def __init__(self) -> None:
        self._held: set[tuple[UUID, str]] = set()

    def hold(self, workspace_id: UUID, key: str | None) -> AbstractContextManager[None]:
        """Hold a key, if there is one, for the length of a block; raises IdempotencyInFlight where it is held."""
        return nullcontext() if key is None else self._holding((workspace_id, key))

    @contextmanager
    def _holding(self, mark: tuple[UUID, str]) -> Iterator[None]:
        if mark in self._held:
            raise IdempotencyInFlight("its first request has not ended")
        self._held.add(mark)
        try:
            yield
        finally:
            self._held.discard(mark)
