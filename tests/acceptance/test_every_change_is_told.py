"""Whatever a person or a key changes by an operation of the table leaves an entry in the audit log, or says why not."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import select, update

from api_shim.operations import Operation
from api_shim.routing import OPERATIONS
from models.audit import Action
from models.session import Database
from models.tables import audit_entries, messages
from tests.support.api import Api, Tenant, serving
from tests.support.example_world import World, example_of
from tests.support.people import Browser, browser, person

pytestmark = pytest.mark.timeout(300)

UNTOLD: Final[Mapping[str, str]] = {
    "postWorkspaceMessages": "the message is its own record, and they are sent by the million",
    "postWorkspaceMessagesBatch": "the same",
    "postWorkspaceContacts": "a contact says when it was made; programs keep them in step by the million",
    "putWorkspaceContactsByExternalIdExternalId": "the same",
    "patchWorkspaceContactsContactId": "the same",
    "postWorkspaceContactsContactIdTags": "the same",
    "postWorkspacePush": "visitors' browsers come and go by a program",
    "patchWorkspacePushBrowserId": "the same",
    "deleteWorkspacePushBrowserId": "the same",
    "postWorkspaceContactsContactIdInboxToken": "made for each page that a visitor loads, and good for a while",
    "postWorkspaceBouncesParse": "changes nothing",
    "postWorkspaceTemplatesTemplateIdPreview": "changes nothing",
}
STANDS: Final[Mapping[str, str]] = {  # the state in which a message has to be
    "postWorkspaceMessagesMessageIdRetry": "failed",
    "postWorkspaceMessagesMessageIdRelease": "held",
    "postWorkspaceMessagesMessageIdFail": "held",
}
AT_LAST: Final[Mapping[str, Any]] = {"postWorkspaceSuppressionsSuppressionIdRelease": {"note": "asked by phone"}}
"""Operations whose example only counts: what they are then asked to do."""


def changes(operation: Operation) -> bool:
    """Whether a person or a key may change something by it."""
    theirs = operation.scope is not None or operation.needs_session or operation.path == "/api/auth/sign-in"
    return theirs and operation.method not in ("GET", "OPTIONS")


@pytest.fixture
async def api(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with serving(tmp_path, database_url, redis_url) as running:
        yield running


class Watched(World):
    """A world in which the entries of each request are known."""

    def __init__(self, tenant: Tenant, database: Database) -> None:
        super().__init__(tenant)
        self._database = database
        self._seen: set[Any] = set()
        self.told: dict[str, list[Any]] = {}
        self.answers: dict[str, httpx.Response] = {}

    async def call(
        self, operation: Operation, *, client: httpx.AsyncClient | None = None, **request: Any
    ) -> httpx.Response:
        await self.new_entries()
        answer = await super().call(operation, client=client, **request)
        self.told[operation.operation_id] = await self.new_entries()
        self.answers[operation.operation_id] = answer
        return answer

    async def new_entries(self) -> list[Any]:
        async with self._database.read() as connection:
            rows = (await connection.execute(select(audit_entries).order_by(audit_entries.c.id))).all()
        new = [row for row in rows if row.id not in self._seen]
        self._seen |= {row.id for row in new}
        return new

    async def stand(self, operation: Operation) -> None:
        state = STANDS.get(operation.operation_id)
        if state is not None:
            async with self._database.write() as connection:
                await connection.execute(update(messages).values(state=state, turn=None, paused=False))


def removing_last() -> list[Operation]:
    removing = [operation for operation in OPERATIONS if operation.method == "DELETE"]
    return [*(each for each in OPERATIONS if each.method != "DELETE"), *reversed(removing)]


async def do_everything(world: Watched, robin: Browser) -> None:
    """Make the request of every example, by the key, or by the person whom another example has made."""
    (sign_in,) = (each for each in OPERATIONS if each.path == "/api/auth/sign-in")
    account = world.real(example_of(sign_in).request)
    for operation in removing_last():
        if operation.operation_id in world.answers:
            continue
        await world.stand(operation)
        if operation.needs_session:
            assert (await robin.sign_in(account["email"], account["password"])).status_code == 200
        await world.call(operation, client=robin if operation.needs_session else None)
        if operation.operation_id == "postApiAuthPassword":
            account["password"] = world.real(example_of(operation).request)["newPassword"]
    for operation in OPERATIONS:
        if operation.operation_id in AT_LAST:
            await world.call(operation, json=AT_LAST[operation.operation_id])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_every_operation_that_changes_something_leaves_its_entry(
    api: Api, database: Database, database_url: str
) -> None:
    world = Watched(await api.tenant(), database)
    await world.build()
    await person(database_url, world.tenant.workspace)  # an admin who stays: the last one cannot be removed
    async with browser(api.url) as robin:
        await do_everything(world, robin)
    told, untold = [], []
    for operation in OPERATIONS:
        name, entries = operation.operation_id, world.told[operation.operation_id]
        if changes(operation) and name not in UNTOLD:
            assert world.answers[name].is_success, f"{name}: {world.answers[name].text}"
            assert entries, f"{name} leaves no entry in the audit log: see api_shim/audit.py, or UNTOLD above"
            told += entries
        else:
            untold += entries
    assert not untold
    assert {row.ending for row in told} == {"done"}
    assert all(row.request_id for row in told)
    not_by_operations = {Action.SCOPE_MISSING, Action.WORKSPACE_CREATE, Action.USER_JOIN, Action.SECRETS_RESEAL}
    assert {row.action for row in told} == set(Action) - not_by_operations
    await nothing_secret(world, told)


async def nothing_secret(world: Watched, told: list[Any]) -> None:
    """No entry holds an address, a text or a secret of the examples."""
    written = " ".join(map(repr, told))
    assert "@" not in written
    assert "whsec_" not in written
    assert "four words" not in written
    assert "asked by phone" not in written
    for answer in world.made.values():
        for name in ("token", "hookKey", "signingKey", "secret", "name"):
            value = answer.json().get(name)
            assert not value or value not in written, name


def test_what_leaves_no_entry_is_an_operation_that_could() -> None:
    assert set(UNTOLD) <= {each.operation_id for each in OPERATIONS if changes(each)}
