"""The settings of workspaces as intake reads them: from memory, for as long as a change may take to be felt."""

import time
from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from models.store import settings
from models.store.settings import WorkspaceSettings

_REMEMBERED_S: Final = 5.0
_MOST_REMEMBERED: Final = 10_000
_UNSET: Final = WorkspaceSettings()


class RememberedSettings:
    """Settings, each read at most every 5 seconds: so long may another process's change go unnoticed here."""

    def __init__(self) -> None:
        self._remembered: dict[UUID, tuple[float, WorkspaceSettings]] = {}

    async def read(
        self, connection: AsyncConnection, workspace_ids: Collection[UUID]
    ) -> Mapping[UUID, WorkspaceSettings]:
        """The settings of each of these workspaces."""
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
            stored = await settings.get_many(connection, missing)
            for each in missing:
                found[each] = stored.get(each, _UNSET)
                self._remembered[each] = (now + _REMEMBERED_S, found[each])
        return found

    def forget(self, workspace_id: UUID) -> None:
        """Ask the database again: they were changed here."""
        self._remembered.pop(workspace_id, None)
