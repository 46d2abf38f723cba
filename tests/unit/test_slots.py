"""Slots of which there may be more or fewer from one moment to the next."""

import asyncio

from channels.slots import Slots


async def taken(slots: Slots, count: int) -> list["asyncio.Task[None]"]:
    """So many ask for a slot, one after the other; those who can have one have it."""
    tasks = [asyncio.create_task(slots.acquire()) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


def done(tasks: list["asyncio.Task[None]"]) -> list[bool]:
    return [task.done() for task in tasks]


async def test_no_more_are_in_use_than_there_are_and_who_came_first_is_first() -> None:
    slots = Slots(lambda: 2)
    tasks = await taken(slots, 4)
    assert done(tasks) == [True, True, False, False]
    slots.release()
    await asyncio.sleep(0)
    late = await taken(slots, 1)
    assert done(tasks + late) == [True, True, True, False, False]
    for _ in range(2):
        slots.release()
    await asyncio.gather(*tasks, *late)


async def test_where_there_are_fewer_those_in_use_end_first_and_where_there_are_more_all_are_filled() -> None:
    limit = 3
    slots = Slots(lambda: limit)
    tasks = await taken(slots, 6)
    limit = 1
    slots.release()
    slots.release()
    await asyncio.sleep(0)
    assert sum(done(tasks)) == 3
    limit = 3
    slots.release()
    await asyncio.gather(*tasks)


async def test_who_gives_up_takes_none() -> None:
    slots = Slots(lambda: 1)
    first, second, third = await taken(slots, 3)
    second.cancel()
    await asyncio.sleep(0)
    slots.release()
    third.cancel()  # at the very moment that the slot came
    await asyncio.gather(first, second, third, return_exceptions=True)
    await asyncio.wait_for(slots.acquire(), 1)


async def test_who_is_in_no_hurry_goes_after_the_others_but_for_every_eighth_slot() -> None:
    slots = Slots(lambda: 1)
    await slots.acquire()
    served = []

    async def serve(name: str, *, patient: bool) -> None:
        await slots.acquire(patient=patient)
        served.append(name)
        slots.release()

    bulk = [asyncio.create_task(serve("bulk", patient=True)) for _ in range(3)]
    await asyncio.sleep(0)
    people = [asyncio.create_task(serve("person", patient=False)) for _ in range(10)]
    await asyncio.sleep(0)
    slots.release()
    await asyncio.gather(*bulk, *people)
    assert served == ["person"] * 7 + ["bulk"] + ["person"] * 3 + ["bulk"] * 2
