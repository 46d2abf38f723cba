"""Keys that we made ourselves, kept wrapped: what is stored opens under a secret key only."""

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store.rows import upsert
from models.tables import secrets


async def get(connection: AsyncConnection, name: str) -> bytes | None:
    """The wrapped secret of that name, None where there is none yet."""
    wrapped: bytes | None = await connection.scalar(select(secrets.c.wrapped).where(secrets.c.name == name))
    return wrapped


async def insert(connection: AsyncConnection, name: str, wrapped: bytes) -> bytes:
    """Store a new secret; the wrapped secret that stands then, which is another process's where that was first."""
    statement = upsert(secrets, is_sqlite=connection.dialect.name == "sqlite").on_conflict_do_nothing()
    await connection.execute(statement.values(name=name, wrapped=wrapped, created_at=now_ms()))
    stored = await get(connection, name)
    return wrapped if stored is None else stored


async def rewrap(connection: AsyncConnection, name: str, old: bytes, new: bytes) -> None:
    """Exchange one wrapping for another; nothing where somebody else has done so meanwhile."""
    await connection.execute(
        update(secrets).where(secrets.c.name == name, secrets.c.wrapped == old).values(wrapped=new)
    )
