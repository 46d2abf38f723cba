"""How often it was tried to sign in, in vain, and for how long to wait. Shared by all processes, by one clock."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import BigInteger, case, delete, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import WireroomError
from models.session import now_ms
from models.store.rows import upsert
from models.tables import sign_in_failures

FREE_FAILURES: Final = 5
FIRST_PAUSE_MS: Final = 10_000
LONGEST_PAUSE_MS: Final = 900_000
"""The fifth failure is followed by a pause of ten seconds, each further one by twice the last, up to a quarter hour."""
FORGOTTEN_MS: Final = 3_600_000
"""After an hour without a failure it begins anew."""
_PRUNED: Final = 100


class Paused(WireroomError):
    """One of the subjects has to wait: ``wait_ms`` milliseconds."""

    def __init__(self, wait_ms: int) -> None:
        super().__init__("too many failed sign-ins")
        self.wait_ms = wait_ms


def pause_after(failures: int) -> int:
    """Milliseconds to wait after so many failures."""
    if failures < FREE_FAILURES:
        return 0
    return min(FIRST_PAUSE_MS << min(failures - FREE_FAILURES, 16), LONGEST_PAUSE_MS)


async def charge(connection: AsyncConnection, subjects: Collection[bytes]) -> None:
    """Count a failure for each subject (16 bytes) before it is known to be one, so that none slips through at once.

    Raises Paused where one of them has to wait; the transaction is then to be rolled back. What is tried in a pause
    does not make it longer.
    """
    await connection.execute(
        delete(sign_in_failures).where(
            sign_in_failures.c.subject.in_(
                select(sign_in_failures.c.subject)
                .where(sign_in_failures.c.failed_at <= _forgotten())
                .limit(_PRUNED)
                .with_for_update(skip_locked=True)
            )
        )
    )
    for subject in sorted(subjects):  # the order in which every process locks them
        failures = await _count(connection, subject)
        if failures is None:
            raise Paused(await _wait_of(connection, subject))
        if pause := pause_after(failures):
            await connection.execute(
                update(sign_in_failures)
                .where(sign_in_failures.c.subject == subject)
                .values(paused_until=now_ms() + literal(pause, BigInteger()))
            )


async def _count(connection: AsyncConnection, subject: bytes) -> int | None:
    """How many failures there are with this one; None in a pause."""
    insert = upsert(sign_in_failures, is_sqlite=connection.dialect.name == "sqlite")
    counted = insert.values(subject=subject, failures=1, failed_at=now_ms(), paused_until=0).on_conflict_do_update(
        index_elements=["subject"],
        set_={
            "failures": case((sign_in_failures.c.failed_at <= _forgotten(), 1), else_=sign_in_failures.c.failures + 1),
            "failed_at": now_ms(),
        },
        where=sign_in_failures.c.paused_until <= now_ms(),
    )
    failures: int | None = await connection.scalar(counted.returning(sign_in_failures.c.failures))
    return failures


async def _wait_of(connection: AsyncConnection, subject: bytes) -> int:
    wait = await connection.scalar(
        select(sign_in_failures.c.paused_until - now_ms()).where(sign_in_failures.c.subject == subject)
    )
    return max(wait or 0, 1)


async def settle(connection: AsyncConnection, *, cleared: bytes, give_back: bytes | None) -> None:
    """It was no failure: ``cleared`` has none any more, ``give_back`` one less.

    An address that many people, or an attacker with an account of their own, sign in from keeps its failures.
    """
    for subject in sorted({cleared, give_back or cleared}):  # the order in which ``charge`` locks them
        if subject == cleared:
            await forget(connection, subject)
        else:
            await connection.execute(
                update(sign_in_failures)
                .where(sign_in_failures.c.subject == subject, sign_in_failures.c.failures > 0)
                .values(failures=sign_in_failures.c.failures - 1, paused_until=0)
            )


async def forget(connection: AsyncConnection, subject: bytes) -> None:
    """The subject has no failures any more."""
    await connection.execute(delete(sign_in_failures).where(sign_in_failures.c.subject == subject))


def _forgotten() -> object:
    return now_ms() - literal(FORGOTTEN_MS, BigInteger())
