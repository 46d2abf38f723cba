"""Who waits for whom on PostgreSQL, where a transaction is held open to see who does."""

from sqlalchemy import text

from models.session import Database


async def waits(database: Database) -> bool:
    """Whether somebody waits for another's transaction."""
    async with database.look() as connection:
        return bool(await connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))
