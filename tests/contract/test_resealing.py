"""One of everything that is sealed, sealed anew under a new secret key, and read without the old one."""

from typing import Any, Final

import pytest
from sqlalchemy import LargeBinary, Table, insert, select, update

from models.audit import Action
from models.ids import new_id
from models.resealing import Tally, reseal
from models.secrets import Keyring, SealBroken
from models.session import Database, now_ms
from models.store import audit, sealed
from models.store.audit import EntryFilter
from models.store.sealed import EVERYTHING, SealedTable
from models.tables import contacts, hooks, metadata, secrets, senders, subscriptions
from tests.support.scene import Scene

OLD: Final = Keyring([b"old" * 12], b"d" * 32)
BOTH: Final = Keyring([b"new" * 12, b"old" * 12], b"d" * 32)
NEW: Final = Keyring([b"new" * 12], b"d" * 32)

NOT_SEALED: Final = {  # what else is bytes, and why it holds no secret
    "sessions.digest": "SHA-256 of a random token",
    "api_keys.digest": "the same",
    "hooks.hook_key_digest": "the same",
    "sign_in_failures.subject": "a keyed digest",
    "contact_terms.term": "words to be found by",
    "push_subscriptions.endpoint_digest": "SHA-256 of what stands beside it",
    "contents.source": "what was said; searched and rendered",
    "message_details.address_digest": "a keyed digest",
    "hook_tokens.token_digest": "SHA-256 of a random token",
    "hook_tokens.body_digest": "SHA-256",
    "events.dedupe_key": "SHA-256",
    "events.raw": "what a provider reported",
    "suppressions.address_digest": "a keyed digest",
    "suppression_releases.address_digest": "the same",
    "resubscriptions.address_digest": "the same",
    "failing_endpoints.address_digest": "the same",
    "idempotency_keys.fingerprint": "SHA-256",
}


def test_whatever_is_bytes_is_sealed_anew_or_is_no_secret() -> None:
    known = {f"{place.name}.{column}" for place in EVERYTHING for column in place.columns}
    stored = {str(each) for table in metadata.sorted_tables for each in table.c if isinstance(each.type, LargeBinary)}
    assert stored == known | NOT_SEALED.keys(), "name it in models/store/sealed.py, or say above why it is no secret"
    assert not known & NOT_SEALED.keys()


def _values(scene: Scene, place: SealedTable) -> dict[str, Any]:
    """A row of that table with nothing sealed in it."""
    needed: dict[Table, dict[str, Any]] = {
        secrets: {},
        senders: {"channel": "EMAIL", "name": "n", "hint": {}, "position": 1, "weight": 1, "updated_at": now_ms()},
        hooks: {"provider": "generic", "hook_key_digest": new_id().bytes * 2, "topic_arns": []},
        subscriptions: {"url": "https://example.org", "events": []},
        contacts: {"attributes": {}, "tags": [], "updated_at": now_ms()},
    }
    common = {} if place.key == "name" else {"id": new_id(), "workspace_id": scene.workspace_id}
    return {"created_at": now_ms(), **common, **needed[place.table]}


async def one_of_everything(scene: Scene, keyring: Keyring) -> None:
    async with scene.database.write() as connection:
        await connection.execute(secrets.delete())
        for place in EVERYTHING:
            values = _values(scene, place)
            if place.key == "name":
                values["name"] = "a-key-of-ours"
            for column in place.columns:
                purpose = place.purpose(column, values[place.key])
                values[column] = keyring.seal(f"{place.name}.{column}".encode(), purpose)
            await connection.execute(insert(place.table).values(**values))
        await connection.execute(insert(contacts).values(**_values(scene, EVERYTHING[-1])))  # one without a secret


async def read_all(database: Database, keyring: Keyring) -> set[str]:
    """Everything that is sealed, opened; raises SealBroken."""
    found = set()
    async with database.read() as connection:
        for place in EVERYTHING:
            envelopes, _, _ = await sealed.some_after(connection, place, None, 100)
            found |= {keyring.open_text(each.sealed, place.purpose(each.column, each.key)) for each in envelopes}
    return found


def whole(tallies: list[Tally]) -> tuple[int, int, int, int]:
    return (
        sum(each.newest for each in tallies),
        sum(each.older for each in tallies),
        sum(each.resealed for each in tallies),
        sum(each.lost for each in tallies),
    )


async def test_everything_is_read_without_the_old_key(scene: Scene) -> None:
    await one_of_everything(scene, OLD)
    wanted = {f"{place.name}.{column}" for place in EVERYTHING for column in place.columns}
    seen: list[int] = []
    assert whole(await reseal(scene.database, BOTH, dry_run=True, advance=seen.append)) == (0, 10, 0, 0)
    assert sum(seen) == len(EVERYTHING) + 1
    assert await read_all(scene.database, OLD) == wanted
    assert whole(await reseal(scene.database, BOTH)) == (0, 10, 10, 0)
    assert await read_all(scene.database, NEW) == wanted
    assert whole(await reseal(scene.database, BOTH)) == (10, 0, 0, 0)


async def test_what_nobody_opens_is_counted_and_stays(scene: Scene) -> None:
    await one_of_everything(scene, Keyring([b"lost" * 9], b"d" * 32))
    assert whole(await reseal(scene.database, BOTH)) == (0, 0, 0, 10)
    with pytest.raises(SealBroken):
        await read_all(scene.database, BOTH)


class Killed(Exception):
    """Whatever ends it in the middle."""


async def test_what_was_begun_is_told_although_it_was_not_ended(scene: Scene) -> None:
    await one_of_everything(scene, OLD)

    async def told() -> list[Any]:
        async with scene.database.read() as connection:
            rows, _ = await audit.house_page(connection, EntryFilter(action=Action.SECRETS_RESEAL), limit=100)
        return [row.details for row in reversed(rows)]

    def killed(_: int) -> None:
        raise Killed

    assert await told() == []
    await reseal(scene.database, BOTH, dry_run=True)
    assert await told() == []
    with pytest.raises(Killed):
        await reseal(scene.database, BOTH, advance=killed)
    assert await told() == [{"table": "secrets"}]
    await reseal(scene.database, BOTH)
    assert await told() == [{"table": place.name} for place in EVERYTHING]
    await reseal(scene.database, BOTH)
    assert len(await told()) == len(EVERYTHING)


async def test_a_walk_goes_on_behind_its_batch_and_leaves_what_was_changed_meanwhile(
    scene: Scene, database: Database
) -> None:
    place = EVERYTHING[-1]
    async with database.write() as connection:
        for number in range(5):
            secret = OLD.seal(str(number).encode(), place.purposes["webhook_secret"])
            await connection.execute(insert(contacts).values(**_values(scene, place), webhook_secret=secret))
        first, rows, last = await sealed.some_after(connection, place, None, 2)
        second, _, last = await sealed.some_after(connection, place, last, 2)
        third, left, end = await sealed.some_after(connection, place, last, 2)
        assert (rows, left, end) == (2, 1, None)
        assert len({each.key for each in [*first, *second, *third]}) == 5
        await connection.execute(update(contacts).where(contacts.c.id == first[0].key).values(webhook_secret=b"other"))
        assert not await sealed.exchange(connection, place, first[0], b"new")
        assert await sealed.exchange(connection, place, first[1], b"new")
        kept = await connection.scalars(select(contacts.c.webhook_secret).order_by(contacts.c.id).limit(2))
        assert kept.all() == [b"other", b"new"]
