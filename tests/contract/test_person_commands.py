"""What a person is offered to do with a message is what the store lets them do."""

from itertools import product
from uuid import UUID

from models.errors import Conflict
from models.person_commands import Command, permitted
from models.store import commands
from models.vocabulary import Fact, State
from tests.support.scene import Scene

DOES = {
    Command.CANCEL: commands.cancel,
    Command.FAIL: commands.fail,
    Command.RELEASE: commands.release,
    Command.RETRY: commands.retry,
}
FACTS = (None, Fact.SENT, Fact.DELIVERED, Fact.SOFT_BOUNCED, Fact.FAILED)


class _Undone(Exception):
    pass


async def done(scene: Scene, command: Command, message_id: UUID) -> bool:
    """Whether it can be done; it is undone at once."""
    try:
        async with scene.database.write() as connection:
            await DOES[command](connection, scene.workspace_id, message_id)
            raise _Undone
    except _Undone:
        return True
    except Conflict:
        return False


async def test_what_is_permitted_is_done_and_nothing_else(scene: Scene) -> None:
    sent = await scene.send(await scene.contact())
    seen: set[tuple[Command, bool]] = set()
    for state, fact in product(State, FACTS):
        times = {f"{each.value}_at": None for each in Fact} | ({} if fact is None else {f"{fact.value}_at": 1_000})
        await scene.set(sent.id, state=state.value, **times)
        row = await scene.row(sent.id)
        for command in DOES:
            offered = command in permitted(row.state, row.status)
            assert await done(scene, command, sent.id) == offered, (command, state, fact)
            seen.add((command, offered))
    assert seen == set(product(Command, (True, False)))
