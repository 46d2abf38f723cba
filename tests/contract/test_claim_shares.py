"""A claim that passes some workspaces over, on both databases: it takes what is the others', and only that."""

from collections import Counter
from collections.abc import Collection
from uuid import UUID

from models.store import claims, pauses
from models.tables import messages
from models.vocabulary import Channel, Lane, State
from tests.support.scene import Scene

WORKER = UUID(int=1)


async def claim(
    scene: Scene, most: int, *, without: Collection[UUID] = (), allowed: int = 1000
) -> tuple[Counter[UUID], int]:
    """How many were taken of each workspace, and how many were seen."""
    async with scene.database.write() as connection:
        taken, seen = await claims.claim(
            connection,
            Channel.EMAIL,
            Lane.TRANSACTIONAL,
            WORKER,
            most,
            without=without,
            allowed=lambda _: allowed,
        )
    return Counter(each.workspace_id for each in taken), seen


async def backlogs(scene: Scene, *sizes: int) -> list[UUID]:
    """Workspaces with so many ready messages."""
    made = []
    for size in sizes:
        workspace_id = await scene.workspace()
        contact = await scene.contact(workspace_id=workspace_id)
        await scene.intake.submit_many([scene.draft(contact, workspace_id=workspace_id) for _ in range(size)])
        made.append(workspace_id)
    return made


async def test_those_passed_over_stay_as_they_are(scene: Scene) -> None:
    hog, small, other = await backlogs(scene, 30, 2, 3)
    assert await claim(scene, 10, without=[hog]) == ({small: 2, other: 3}, 5)
    assert await claim(scene, 10, without=[hog]) == ({}, 0)
    assert await claim(scene, 10) == ({hog: 10}, 10)


async def test_all_may_be_passed_over(scene: Scene) -> None:
    both = await backlogs(scene, 3, 3)
    assert await claim(scene, 10, without=both) == ({}, 0)


async def test_the_order_of_turns_holds_among_the_others(scene: Scene) -> None:
    hog, first, second = await backlogs(scene, 30, 20, 20)
    taken, seen = await claim(scene, 10, without=[hog])
    assert (taken, seen) == ({first: 5, second: 5}, 10)


async def test_nobody_gets_more_than_is_allowed(scene: Scene) -> None:
    hog, small = await backlogs(scene, 30, 2)
    assert await claim(scene, 20, allowed=3) == ({hog: 3, small: 2}, 20)
    async with scene.database.read() as connection:
        states = (await connection.scalars(messages.select().with_only_columns(messages.c.state))).all()
    assert Counter(states) == {State.SENDING.value: 5, State.QUEUED.value: 27}
    assert await claim(scene, 20, allowed=30) == ({hog: 20}, 20)


async def test_what_was_passed_over_keeps_its_place(scene: Scene) -> None:
    hog, small = await backlogs(scene, 4, 4)
    assert (await claim(scene, 8, without=[hog]))[0] == {small: 4}
    (late,) = await backlogs(scene, 4)
    taken, _ = await claim(scene, 4)
    assert taken == {hog: 4}
    assert (await claim(scene, 8))[0] == {late: 4}


async def test_a_channel_that_rests_is_claimed_for_nobody(scene: Scene) -> None:
    await backlogs(scene, 3)
    async with scene.database.write() as connection:
        await pauses.rest(connection, Channel.EMAIL, 60_000, "by the test")
    assert await claim(scene, 10) == ({}, 0)
    assert await claim(scene, 10, without=[WORKER]) == ({}, 0)
