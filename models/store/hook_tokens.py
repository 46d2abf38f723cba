"""Tokens that proved a provider's request without covering its body: each is good for the body that it came with."""

from uuid import UUID

from sqlalchemy import BigInteger, Integer, bindparam, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store import clock
from models.store.bulk import insert_ignoring
from models.tables import hook_tokens


async def keep(
    connection: AsyncConnection, workspace_id: UUID, hook_id: UUID, *, token_digest: bytes, body_digest: bytes
) -> bool:
    """Keep the token (digests of 32 bytes) for its body; False where it was kept for another one before."""
    row = {
        "workspace_id": workspace_id,
        "hook_id": hook_id,
        "token_digest": token_digest,
        "body_digest": body_digest,
        "seen_at": await clock.read(connection),
    }
    if await insert_ignoring(connection, hook_tokens, [row]):
        return True
    known = await connection.scalar(
        select(hook_tokens.c.body_digest).where(
            hook_tokens.c.workspace_id == workspace_id,
            hook_tokens.c.hook_id == hook_id,
            hook_tokens.c.token_digest == token_digest,
        )
    )
    return known == body_digest


async def forget(connection: AsyncConnection, kept_ms: int, most: int) -> int:
    """Remove up to ``most`` tokens that were seen more than ``kept_ms`` ago; returns how many."""
    key = tuple_(hook_tokens.c.workspace_id, hook_tokens.c.hook_id, hook_tokens.c.token_digest)
    old = (
        select(hook_tokens.c.workspace_id, hook_tokens.c.hook_id, hook_tokens.c.token_digest)
        .where(hook_tokens.c.seen_at < now_ms() - bindparam("kept", kept_ms, BigInteger()))
        .limit(bindparam("most", most, Integer()))
    )
    return (await connection.execute(delete(hook_tokens).where(key.in_(old)))).rowcount
