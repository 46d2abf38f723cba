import sqlite3
from pathlib import Path
from uuid import UUID

from models import ids
from tests.support.commands import wireroom

_TAKEN = (
    "INSERT INTO messages (id, workspace_id, contact_id, channel, lane, state, due_at, paused, begun, queued_at)"
    " VALUES (?, ?, ?, 'EMAIL', 'bulk', 'queued', 0, 0, 0, 0)"
)


async def test_a_wrong_count_is_found_and_mended(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    settings = {"WIREROOM_DATA_DIR": str(path.parent)}
    with sqlite3.connect(path) as database:
        database.execute(_TAKEN, ("1" * 32, "2" * 32, "3" * 32))
    right = await wireroom("recount", "--check", **settings)
    assert (right.code, right.out) == (0, "Every count is right.\n"), right.err
    with sqlite3.connect(path) as database:
        database.execute("UPDATE message_counts SET number = 7")
    wrong = await wireroom("recount", "--check", "--json", **settings)
    workspace = ids.show(ids.Kind.WORKSPACE, UUID("2" * 32))
    count = {"workspace": workspace, "campaign": None, "channel": "EMAIL", "status": "QUEUED", "counted": 7, "found": 1}
    assert (wrong.code, wrong.json()) == (1, {"wrong": 1, "mended": 0, "counts": [count]})
    mended = await wireroom("recount", **settings)
    said = f"{workspace} EMAIL QUEUED: 7 counted, 1 found\n1 count was wrong and is mended.\n"
    assert (mended.code, mended.out) == (0, said), mended.err
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT number FROM message_counts").fetchall() == [(1,)]
    again = await wireroom("recount", "--json", **settings)
    assert (again.code, again.json()) == (0, {"wrong": 0, "mended": 0, "counts": []})
