"""What intake reads of workspaces: from memory, for as long as a change may take to be felt."""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, Generic, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

V = TypeVar("V")

_MOST_REMEMBERED: Final = 10_000


class Remembered(Generic[V]):
    """A value of each workspace, read at most every ``seconds``: so long may another process's change go unnoticed.

    ``get_many`` reads those of several workspaces; where it has none for one, that is ``unset``.
    """

    def __init__(
        self,
        get_many: Callable[[AsyncConnection, Collection[UUID]], Awaitable[Mapping[UUID, V]]],
        unset: V,
        *,
        seconds: float,
    ) -> None:
        self._get_many = get_many
        self._unset = unset
        self._seconds = seconds
        self._remembered: dict[UUID, tuple[float, V]] = {}

    async def read(self, connection: AsyncConnection, workspace_ids: Collection[UUID]) -> Mapping[UUID, V]:
        """The value of each of these workspaces."""
        now = time.monotonic()
        found = {
            each: kept[1]
            for each in workspace_ids
            if (kept := self._remembered.get(each)) is not None and kept[0] > now
        }
        missing = set(workspace_ids) - found.keys()
        if missing:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            stored = await self._get_many(connection, missing)
            for each in missing:
                found[each] = stored.get(each, self._unset)
                self._remembered[each] = (now + self._seconds, found[each])
        return found

    def forget(self, workspace_id: UUID) -> None:
        """Ask the database again: it was changed here."""
        self._remembered.pop(workspace_id, None)
