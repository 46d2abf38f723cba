"""Tokens of hooks, on both databases: each is good for one body, in its hook and workspace, for ten hours."""

from uuid import UUID

from sqlalchemy import select, update

from models.ids import new_id
from models.store import hook_tokens
from models.tables import hook_tokens as table
from tests.support.scene import Scene
from worker.keeper import Keeper

HOOK = UUID(int=7)
A, B = b"a" * 32, b"b" * 32


async def keep(scene: Scene, token: bytes, body: bytes, *, hook: UUID = HOOK, workspace: UUID | None = None) -> bool:
    async with scene.database.write() as connection:
        own = workspace or scene.workspace_id
        return await hook_tokens.keep(connection, own, hook, token_digest=token, body_digest=body)


async def test_a_token_is_good_for_one_body(scene: Scene) -> None:
    assert [await keep(scene, A, A), await keep(scene, A, A), await keep(scene, A, B)] == [True, True, False]
    assert await keep(scene, B, B)
    assert await keep(scene, A, B, hook=new_id())
    assert await keep(scene, A, B, workspace=new_id())


async def test_the_keeper_forgets_tokens_that_no_provider_repeats(scene: Scene) -> None:
    ages_s = {A: 9 * 3600 + 300, B: 10 * 3600 + 60}
    for token, age_s in ages_s.items():
        await keep(scene, token, A)
        async with scene.database.write() as connection:
            older = update(table).where(table.c.token_digest == token).values(seen_at=table.c.seen_at - age_s * 1000)
            await connection.execute(older)
    await Keeper(scene.database, scene.wakeups).tidy()
    async with scene.database.read() as connection:
        assert (await connection.scalars(select(table.c.token_digest))).all() == [A]
