"""Sessions and failed sign-ins, on both databases."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import select, update

from models.ids import new_id
from models.secrets import new_token
from models.session import Database, now_ms
from models.store import clock, sessions, sign_ins, users, workspaces
from models.store.sessions import IDLE_MS, LONGEST_MS, SessionRow
from models.store.sign_ins import FORGOTTEN_MS, FREE_FAILURES, Paused
from models.store.users import UserRow
from models.tables import sessions as session_table
from models.tables import sign_in_failures
from models.vocabulary import Role

ACCOUNT, CLIENT = b"a" * 16, b"c" * 16


async def fail(database: Database, *subjects: bytes) -> bool:
    """Try once, in vain; whether it was let in."""
    try:
        async with database.write() as connection:
            await sign_ins.charge(connection, subjects)
    except Paused:
        return False
    return True


async def shift(database: Database, milliseconds: int) -> None:
    """Let time pass for all failures."""
    async with database.write() as connection:
        await connection.execute(
            update(sign_in_failures).values(
                failed_at=sign_in_failures.c.failed_at - milliseconds,
                paused_until=sign_in_failures.c.paused_until - milliseconds,
            )
        )


async def wait_of(database: Database, subject: bytes) -> int:
    async with database.read() as connection:
        until = await connection.scalar(
            select(sign_in_failures.c.paused_until).where(sign_in_failures.c.subject == subject)
        )
        return int(until or 0) - await clock.read(connection)


async def test_of_many_at_once_five_are_let_in(database: Database, database_url: str) -> None:
    other = Database.connect(database_url)
    try:
        tries = [fail(each, ACCOUNT, CLIENT) for each in (database, other) for _ in range(15)]
        assert sum(await asyncio.gather(*tries)) == FREE_FAILURES
    finally:
        await other.close()


async def test_a_pause_ends_and_the_next_is_longer(database: Database) -> None:
    for _ in range(FREE_FAILURES):
        assert await fail(database, ACCOUNT)
    first = await wait_of(database, ACCOUNT)
    with pytest.raises(Paused) as paused:
        async with database.write() as connection:
            await sign_ins.charge(connection, [ACCOUNT])
    assert 5_000 < paused.value.wait_ms <= 10_000
    assert await wait_of(database, ACCOUNT) <= first  # what is tried in a pause makes it no longer
    await shift(database, 10_001)
    assert await fail(database, ACCOUNT)
    assert 15_000 < await wait_of(database, ACCOUNT) <= 20_000


async def test_an_hour_without_a_failure_forgets_all(database: Database) -> None:
    for _ in range(FREE_FAILURES):
        assert await fail(database, ACCOUNT)
    await shift(database, FORGOTTEN_MS + 1)
    for _ in range(FREE_FAILURES):
        assert await fail(database, ACCOUNT)
    assert not await fail(database, ACCOUNT)


async def test_where_one_has_to_wait_nothing_is_counted_for_the_other(database: Database) -> None:
    for _ in range(FREE_FAILURES):
        assert await fail(database, CLIENT)
    for _ in range(10):
        assert not await fail(database, ACCOUNT, CLIENT)
    for _ in range(FREE_FAILURES):
        assert await fail(database, ACCOUNT)


async def test_a_success_clears_the_account_and_gives_the_address_one_back(database: Database) -> None:
    for _ in range(FREE_FAILURES):
        assert await fail(database, ACCOUNT, CLIENT)
    async with database.write() as connection:
        await sign_ins.settle(connection, cleared=ACCOUNT, give_back=CLIENT)
        counts = await connection.execute(select(sign_in_failures.c.subject, sign_in_failures.c.failures))
        assert [tuple(row) for row in counts] == [(CLIENT, FREE_FAILURES - 1)]
    assert await fail(database, CLIENT)
    assert not await fail(database, CLIENT)


async def test_successes_and_failures_at_once_never_wait_for_each_other(database: Database) -> None:
    async def succeed(own: bytes) -> None:
        if await fail(database, own, CLIENT):
            async with database.write() as connection:
                await sign_ins.settle(connection, cleared=own, give_back=CLIENT)

    # One subject sorts before the address and one behind it; a deadlock would be StorageUnavailable.
    await asyncio.gather(*(succeed(own) for own in (ACCOUNT, b"z" * 16) * 40))


async def made(database: Database) -> tuple[UserRow, SessionRow, bytes]:
    _, digest = new_token("wr_sess_")
    async with database.write() as connection:
        user = await users.create(connection, "Robin@Example.org", "$argon2id$")
        return user, await sessions.create(connection, user.id, digest), digest


async def found(database: Database, digest: bytes) -> SessionRow | None:
    async with database.read() as connection:
        return await sessions.find(connection, digest)


async def set_times(database: Database, **columns: object) -> None:
    async with database.write() as connection:
        await connection.execute(update(session_table).values(**columns))


async def test_a_session_ends_when_it_is_not_used(database: Database) -> None:
    user, row, digest = await made(database)
    assert (row.user_id, row.email, row.stale) == (user.id, "robin@example.org", False)
    assert await found(database, digest) == row
    await set_times(database, ends_at=now_ms())
    assert await found(database, digest) is None
    async with database.write() as connection:
        assert await sessions.touch(connection, row.id) is None  # what has ended does not begin again


async def test_use_puts_the_end_off_but_not_for_ever(database: Database) -> None:
    _, row, digest = await made(database)
    await set_times(database, ends_at=row.ends_at - 120_000)
    used = await found(database, digest)
    assert used is not None
    assert used.stale
    async with database.write() as connection:
        assert (await sessions.touch(connection, row.id) or 0) >= row.ends_at
    await set_times(database, created_at=now_ms() - LONGEST_MS + IDLE_MS // 2)
    async with database.write() as connection:
        last = await sessions.touch(connection, row.id) or 0
        assert abs(last - await clock.read(connection) - IDLE_MS // 2) < 60_000
    late = await found(database, digest)
    assert late is not None
    assert not late.stale  # nothing is left to put off


async def test_a_new_password_ends_every_session_and_the_pause(database: Database) -> None:
    user, _, digest = await made(database)
    for _ in range(FREE_FAILURES):
        assert await fail(database, user.id.bytes)
    async with database.write() as connection:
        await users.set_password(connection, user.id, "$argon2id$2")
    assert await found(database, digest) is None
    assert await fail(database, user.id.bytes)


async def test_one_person_has_fifty_sessions_at_most(database: Database) -> None:
    user, _, first = await made(database)
    digests = [new_token("wr_sess_")[1] for _ in range(50)]
    async with database.write() as connection:
        for digest in digests:
            await sessions.create(connection, user.id, digest)
    assert await found(database, first) is None
    assert await found(database, digests[0]) is not None


async def test_an_account_goes_with_its_last_workspace(database: Database) -> None:
    user, _, digest = await made(database)
    async with database.write() as connection:
        one, two = [(await workspaces.create(connection, f"workspace {new_id()}")).id for _ in range(2)]
        for each in (one, two):
            await users.join(connection, user.id, each, Role.MEMBER)
        assert await users.leave(connection, one, user.id)
        assert not await users.leave(connection, one, user.id)
        assert [each.id for each in await users.workspaces_of(connection, user.id)] == [two]
    assert await found(database, digest) is not None
    async with database.write() as connection:
        assert await users.leave(connection, two, user.id)
        assert await users.by_email(connection, "robin@example.org") is None
    assert await found(database, digest) is None


@pytest.mark.parametrize("email", ["robin@example.org", " ROBIN@EXAMPLE.ORG "])
async def test_letter_case_makes_nobody_else(database: Database, email: str) -> None:
    user, _, _ = await made(database)
    async with database.read() as connection:
        assert await users.by_email(connection, email) == user


async def test_who_counts_the_admins_waits_for_who_removes_one(database: Database) -> None:
    async with database.write() as connection:
        workspace = (await workspaces.create(connection, f"workspace {new_id()}")).id
        people = [(await users.create(connection, f"{name}@example.org", "hash")).id for name in ("kim", "noor", "sam")]
        for each, role in zip(people, (Role.ADMIN, Role.ADMIN, Role.MEMBER), strict=True):
            await users.join(connection, each, workspace, role)

    async def count() -> set[UUID]:
        async with database.write() as connection:
            return await users.lock_admins(connection, workspace)

    async with database.write() as connection:
        assert await users.lock_admins(connection, workspace) == set(people[:2])
        second = asyncio.create_task(count())
        done, _ = await asyncio.wait([second], timeout=0.3)
        assert not done
        assert await users.leave(connection, workspace, people[1])
    assert await second == {people[0]}
