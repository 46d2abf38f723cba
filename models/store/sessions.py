"""Sessions: who is signed in, by the digest of a secret that only the browser holds."""

from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, ColumnElement, case, delete, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ids import new_id
from models.session import now_ms
from models.tables import sessions, users

IDLE_MS: Final = 12 * 3_600_000
LONGEST_MS: Final = 30 * 86_400_000
"""A session ends when it was not used for so long, and at the latest so long after it began (milliseconds)."""

_TOUCHED_EVERY_MS: Final = 60_000
_MOST_OF_ONE: Final = 50
_PRUNED: Final = 100


class SessionRow(msgspec.Struct, frozen=True):
    """A session that holds, and whose it is. ``ends_at`` is milliseconds (UTC); ``stale``: see ``touch``."""

    id: UUID
    user_id: UUID
    email: str
    ends_at: int
    stale: bool


async def create(connection: AsyncConnection, user_id: UUID, digest: bytes) -> SessionRow:
    """A new session; ``digest`` is ``models.secrets.token_digest`` of its secret (32 bytes).

    Of one user's sessions the fifty latest stay. Some of those that have ended are removed on the way.
    """
    await connection.execute(
        delete(sessions).where(
            sessions.c.id.in_(
                select(sessions.c.id)
                .where(sessions.c.ends_at <= now_ms())
                .limit(_PRUNED)
                .with_for_update(skip_locked=True)
            )
        )
    )
    await connection.execute(
        sessions.insert().values(
            id=new_id(),
            user_id=user_id,
            digest=digest,
            created_at=now_ms(),
            ends_at=now_ms() + literal(IDLE_MS, BigInteger()),
        )
    )
    latest = select(sessions.c.id).where(sessions.c.user_id == user_id).order_by(sessions.c.id.desc())
    await connection.execute(
        delete(sessions).where(sessions.c.user_id == user_id, sessions.c.id.in_(latest.offset(_MOST_OF_ONE)))
    )
    made = await find(connection, digest)
    if made is None:
        raise RuntimeError("a session ended as it began")
    return made


async def find(connection: AsyncConnection, digest: bytes) -> SessionRow | None:
    """The session of a secret, where it has not ended."""
    row = (
        await connection.execute(
            select(
                sessions.c.id,
                sessions.c.user_id,
                users.c.email,
                sessions.c.ends_at,
                (_longest_now() - sessions.c.ends_at > literal(_TOUCHED_EVERY_MS, BigInteger())).label("stale"),
            )
            .join(users, users.c.id == sessions.c.user_id)
            .where(sessions.c.digest == digest, sessions.c.ends_at > now_ms())
        )
    ).first()
    return None if row is None else msgspec.convert(row._mapping, SessionRow, strict=False)


async def touch(connection: AsyncConnection, session_id: UUID) -> int | None:
    """The session was used: put its end off, as far as it goes; its end, or None where it has ended meanwhile.

    Once a minute will do: that is what ``stale`` says.
    """
    ends_at: int | None = await connection.scalar(
        update(sessions)
        .where(sessions.c.id == session_id, sessions.c.ends_at > now_ms())
        .values(ends_at=_longest_now())
        .returning(sessions.c.ends_at)
    )
    return ends_at


def _longest_now() -> ColumnElement[int]:
    """When a session that is used now ends."""
    idle = now_ms() + literal(IDLE_MS, BigInteger())
    last = sessions.c.created_at + literal(LONGEST_MS, BigInteger())
    return case((idle < last, idle), else_=last)


async def end(connection: AsyncConnection, digest: bytes) -> None:
    """End the session of a secret."""
    await connection.execute(delete(sessions).where(sessions.c.digest == digest))


async def end_all(connection: AsyncConnection, user_id: UUID) -> None:
    """End every session of a user."""
    await connection.execute(delete(sessions).where(sessions.c.user_id == user_id))
