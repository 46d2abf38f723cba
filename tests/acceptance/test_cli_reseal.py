"""``wireroom reseal``: after it the old secret key may go."""

from pathlib import Path

import pytest
from sqlalchemy import insert, select

from models.ids import new_id
from models.sealing import SealedFor
from models.secrets import load_keyring
from models.session import Database, now_ms
from models.settings import StorageSettings
from models.store import workspaces
from models.tables import contacts
from tests.support.commands import wireroom

OLD, NEW = "an old secret key of 32 characters", "a new secret key that is also long enough"


@pytest.fixture
def settings(sqlite_url: str) -> dict[str, str]:
    """The settings of a folder that holds a database at its newest schema."""
    return {"WIREROOM_DATA_DIR": str(Path(sqlite_url.removeprefix("sqlite:///")).parent), "WIREROOM_SECRET_KEY": OLD}


async def test_a_secret_is_read_without_the_key_that_sealed_it(settings: dict[str, str], sqlite_url: str) -> None:
    database = Database.connect(sqlite_url)
    try:
        keyring = await load_keyring(database, StorageSettings.read(settings))
        async with database.write() as connection:
            owner = (await workspaces.create(connection, "acme")).id
            await connection.execute(
                insert(contacts).values(
                    id=new_id(),
                    workspace_id=owner,
                    attributes={},
                    tags=[],
                    webhook_secret=keyring.seal(b"whsec_x", SealedFor.WEBHOOK),
                    created_at=now_ms(),
                    updated_at=now_ms(),
                )
            )
        both = settings | {"WIREROOM_SECRET_KEY": f"{NEW},{OLD}"}
        counted = (await wireroom("reseal", "--dry-run", "--json", **both)).json()
        assert (counted["older"], counted["resealed"]) == (1, 0)
        done = await wireroom("reseal", **both)
        assert (done.code, "1 sealed anew" in done.out, "may go" in done.out) == (0, True, True)
        again = (await wireroom("reseal", "--json", **both)).json()
        assert (again["newest"], again["older"], again["lost"]) == (2, 0, 0)
        alone = await load_keyring(database, StorageSettings.read(settings | {"WIREROOM_SECRET_KEY": NEW}))
        async with database.read() as connection:
            (sealed,) = await connection.scalars(select(contacts.c.webhook_secret))
        assert alone.open_text(sealed, SealedFor.WEBHOOK) == "whsec_x"
    finally:
        await database.close()
    told = (await wireroom("audit", "--action", "secrets.reseal", "--json", **both)).json()["data"]
    began, *ended = [each["details"] for each in reversed(told)]
    assert began == {"table": "contacts"}
    assert ended == [{"resealed": 1, "lost": 0}, {"resealed": 0, "lost": 0}]


async def test_what_no_key_opens_is_named(settings: dict[str, str], sqlite_url: str) -> None:
    database = Database.connect(sqlite_url)
    try:
        await load_keyring(database, StorageSettings.read(settings))
        async with database.write() as connection:
            owner = (await workspaces.create(connection, "acme")).id
            values = {"attributes": {}, "tags": [], "created_at": now_ms(), "updated_at": now_ms()}
            await connection.execute(
                insert(contacts).values(id=new_id(), workspace_id=owner, webhook_secret=b"no envelope", **values)
            )
    finally:
        await database.close()
    answer = await wireroom("reseal", **settings)
    assert answer.code == 1
    assert "contacts: 1 open by no key" in answer.out
    assert "may go" not in answer.out
