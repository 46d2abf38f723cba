"""A claim that passes some workspaces over, on both databases: it takes what is the others', and only that."""

from collections import Counter
from collections.abc import Collection
from uuid import UUID

import pytest

from models.store import claims, pauses
from models.tables import messages
from models.vocabulary import Channel, Lane, State
from tests.support.scene import Scene

WORKER = UUID(int=1)


async def claim(
    scene: Scene, most: int, *, without: Collection[UUID] = (), allowed: int = 1000, lane: Lane = Lane.TRANSACTIONAL
) -> tuple[Counter[UUID], bool]:
    """How many were taken of each workspace, and whether there may be more."""
    async with scene.database.write() as connection:
        taken, left = await claims.claim(
            connection,
            Channel.EMAIL,
            lane,
            WORKER,
            most,
            without=without,
            allowed=lambda _: allowed,
        )
    return Counter(each.workspace_id for each in taken), left


async def backlogs(scene: Scene, *sizes: int, lane: Lane = Lane.TRANSACTIONAL) -> list[UUID]:
    """Workspaces with so many ready messages."""
    made = []
    for size in sizes:
        workspace_id = await scene.workspace()
        contact = await scene.contact(workspace_id=workspace_id)
        drafts = [scene.draft(contact, workspace_id=workspace_id, lane=lane) for _ in range(size)]
        await scene.intake.submit_many(drafts)
        made.append(workspace_id)
    return made


@pytest.mark.parametrize("lane", Lane)
async def test_those_passed_over_stay_as_they_are(scene: Scene, lane: Lane) -> None:
    hog, small, other = await backlogs(scene, 30, 2, 3, lane=lane)
    assert await claim(scene, 10, without=[hog], lane=lane) == ({small: 2, other: 3}, True)
    assert await claim(scene, 10, without=[hog], lane=lane) == ({}, True)
    assert await claim(scene, 10, lane=lane) == ({hog: 10}, True)


@pytest.mark.parametrize("lane", Lane)
async def test_all_may_be_passed_over(scene: Scene, lane: Lane) -> None:
    both = await backlogs(scene, 3, 3, lane=lane)
    assert await claim(scene, 10, without=both, lane=lane) == ({}, True)


async def test_the_order_of_turns_holds_among_the_others(scene: Scene) -> None:
    hog, first, second = await backlogs(scene, 30, 20, 20, lane=Lane.BULK)
    taken, _ = await claim(scene, 10, without=[hog], lane=Lane.BULK)
    assert taken == {first: 5, second: 5}


async def test_of_people_those_are_taken_whose_turn_it_is_anyway(scene: Scene) -> None:
    hog, first, second = await backlogs(scene, 30, 20, 20)
    taken, _ = await claim(scene, 12, without=[hog])
    assert taken == {first: 4, second: 4}


async def test_a_lane_that_was_read_to_its_end_holds_no_more(scene: Scene) -> None:
    (one,) = await backlogs(scene, 4)
    assert await claim(scene, 3) == ({one: 3}, True)
    assert await claim(scene, 3) == ({one: 1}, False)
    assert await claim(scene, 3) == ({}, False)
    (two,) = await backlogs(scene, 4)
    assert await claim(scene, 5, without=[one]) == ({two: 4}, False)
    await backlogs(scene, 4)
    assert (await claim(scene, 5, allowed=3))[1] is True


async def test_nobody_gets_more_than_is_allowed(scene: Scene) -> None:
    hog, small = await backlogs(scene, 30, 2)
    assert (await claim(scene, 20, allowed=3))[0] == {hog: 3, small: 2}
    async with scene.database.read() as connection:
        states = (await connection.scalars(messages.select().with_only_columns(messages.c.state))).all()
    assert Counter(states) == {State.SENDING.value: 5, State.QUEUED.value: 27}
    assert (await claim(scene, 20, allowed=30))[0] == {hog: 20}


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
    assert (await claim(scene, 10))[0] == {}
    assert (await claim(scene, 10, without=[WORKER]))[0] == {}
