"""Messages as they are stored, on both databases: whichever of their columns hold one value in all of them."""

import asyncio
import random

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim.intake import Accepted
from models.admission import Draft
from models.ids import new_id
from models.session import Database
from models.store import new_messages
from models.store.new_messages import NewMessage
from models.tables import contents, message_details, messages
from models.vocabulary import Channel, Lane, OnUnknown, State
from tests.support.scene import Scene

WORKSPACE = new_id()
QUEUED_AT = 1_700_000_000_000
SUBJECTS = ("Snow", "ÄPFEL für alle", None)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def new(dice: random.Random, *, alike: bool) -> NewMessage:
    """A message; one that is ``alike`` differs from others like it in what differs between any two people."""

    def one_of(*values: object) -> object:
        return values[0] if alike else dice.choice(values)

    lane = one_of(Lane.BULK, Lane.TRANSACTIONAL)
    paused = bool(one_of(False, True))
    due_at = QUEUED_AT + (0 if alike else dice.choice([0, 1_000]))
    draft = Draft(
        id=new_id(),
        workspace_id=WORKSPACE,
        contact_id=new_id(),
        channel=one_of(Channel.EMAIL, Channel.PUSH),  # type: ignore[arg-type]
        campaign_id=None if alike else dice.choice([None, new_id()]),
        step=one_of(1, 2),  # type: ignore[arg-type]
        metadata=one_of({}, {"a": [1, None]}),  # type: ignore[arg-type]
        topic=one_of(None, "news"),  # type: ignore[arg-type]
        essential=bool(one_of(False, True)),
        on_unknown=one_of(OnUnknown.RETRY, OnUnknown.HOLD),  # type: ignore[arg-type]
        traceparent=one_of(None, TRACEPARENT),  # type: ignore[arg-type]
    )
    source = b"alike" if alike else dice.choice([b"one", b"other"])
    return NewMessage(
        draft=draft,
        group=(draft.channel, lane, WORKSPACE),  # type: ignore[arg-type]
        queued_at=QUEUED_AT,
        due_at=due_at,
        paused=paused,
        ready=not paused and due_at == QUEUED_AT,
        content_id=CONTENTS[source],
        content_source=source,
        template_version_id=None if alike else dice.choice([None, new_id()]),
        subject=dice.choice(SUBJECTS),
        address=f"reader{dice.random()}@example.org",
        address_digest=new_id().bytes,
        track_opens=bool(one_of(False, True)),
        track_clicks=bool(one_of(True, False)),
        variables={"firstName": str(dice.random())},
    )


CONTENTS = {source: new_id() for source in (b"alike", b"one", b"other")}


async def stored(connection: AsyncConnection, message: NewMessage) -> NewMessage:
    """The same message as its rows tell it."""
    row = (await connection.execute(select(messages).where(messages.c.id == message.draft.id))).one()
    details = (
        await connection.execute(select(message_details).where(message_details.c.message_id == message.draft.id))
    ).one()
    source = await connection.scalar(select(contents.c.source).where(contents.c.id == details.content_id))
    assert (row.state, details.workspace_id, details.message_id) == (State.QUEUED, row.workspace_id, row.id)
    words = details.subject_words
    assert (words if isinstance(words, str | None) else " ".join(words)) == {
        "Snow": "snow",
        "ÄPFEL für alle": "äpfel für alle",
        None: None,
    }[details.subject]
    draft = Draft(
        id=row.id,
        workspace_id=row.workspace_id,
        contact_id=row.contact_id,
        channel=Channel(row.channel),
        campaign_id=row.campaign_id,
        journey_id=row.journey_id,
        step=details.step,
        metadata=details.metadata,
        expires_at=row.expires_at,
        topic=details.topic,
        essential=details.essential,
        on_unknown=OnUnknown(details.on_unknown),
        traceparent=details.traceparent,
    )
    return NewMessage(
        draft=draft,
        group=(draft.channel, Lane(row.lane), row.workspace_id),
        queued_at=row.queued_at,
        due_at=row.due_at,
        paused=row.paused,
        ready=row.turn is not None,
        content_id=details.content_id,
        content_source=source or b"",
        template_version_id=details.template_version_id,
        subject=details.subject,
        address=details.address,
        address_digest=details.address_digest,
        track_opens=details.track_opens,
        track_clicks=details.track_clicks,
        variables=details.variables,
    )


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("number", [1, 2, 30, 120])
async def test_messages_are_stored_as_they_are_and_once(database: Database, number: int, alike: bool) -> None:
    dice = random.Random(number)
    given = [new(dice, alike=alike) for _ in range(number)]
    for _ in range(2):
        async with database.write() as connection:
            await new_messages.insert(connection, given)
    async with database.read() as connection:
        assert [await stored(connection, message) for message in given] == given
        assert await connection.scalar(select(func.count()).select_from(messages)) == number
        assert await connection.scalar(select(func.count()).select_from(message_details)) == number


async def test_few_messages_have_few_forms_of_a_statement(postgres_url: str) -> None:
    database = Database.connect(postgres_url, pool_size=1)
    dice = random.Random(5)
    try:
        for alike in (True, False):
            for _ in range(20):
                async with database.write() as connection:
                    await new_messages.insert(connection, [new(dice, alike=alike) for _ in range(5)])
        async with database.read() as connection:
            told = await connection.exec_driver_sql(
                "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%INTO message_details%'"
            )
            assert 1 < told.scalar_one() <= 4  # alike or not, traced or not
    finally:
        await database.close()


async def test_turns_follow_the_order_of_the_messages(database: Database) -> None:
    given = [new(random.Random(7), alike=True) for _ in range(60)]
    async with database.write() as connection:
        await new_messages.insert(connection, given)
        turns = {row.id: row.turn for row in await connection.execute(select(messages.c.id, messages.c.turn))}
    in_order = [turns[message.draft.id] for message in given]
    assert in_order == list(range(in_order[0], in_order[0] + 60))


async def test_batches_go_abreast_and_each_keeps_its_order(scene: Scene) -> None:
    contact = await scene.contact()
    batches = [[scene.draft(contact) for _ in range(1_100)] for _ in range(3)]
    answers = await asyncio.gather(*map(scene.intake.submit_many, batches))
    accepted = [[result.message.id for result in answer if isinstance(result, Accepted)] for answer in answers]
    assert accepted == [[draft.id for draft in batch] for batch in batches]
    async with scene.database.read() as connection:
        turns = {row.id: row.turn for row in await connection.execute(select(messages.c.id, messages.c.turn))}
    assert len(set(turns.values())) == 3_300
    for batch in accepted:
        in_order = [turns[each] for each in batch]
        assert in_order == sorted(in_order)
