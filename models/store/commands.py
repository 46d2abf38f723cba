"""What a person does to one message: cancel, retry, release, fail.

Each is one UPDATE that names the state it may leave, so that it and a claim can never both succeed, and that raises
the token, so that whatever a worker still has in its hands counts as old. Each raises NotFound where the workspace
has no such message, and Conflict where its state does not allow it.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.admission import Parked, Standing, check_standing
from models.errors import Conflict, NotFound
from models.person_commands import RULES, Command
from models.session import now_ms
from models.store import intake, message_views, turns
from models.store.ending import without_a_send
from models.store.recordset import among
from models.tables import campaigns, contacts, message_details, messages
from models.vocabulary import CampaignState, Channel, Fact, FailureReason, Lane, State, Status


async def cancel(connection: AsyncConnection, workspace_id: UUID, message_id: UUID) -> None:
    """Call a queued message back: it is not sent, unless a person asks for that by ``retry``."""
    await _change(
        connection,
        workspace_id,
        message_id,
        Command.CANCEL,
        **without_a_send(State.CANCELLED, FailureReason.CANCELLED),
    )


async def fail(connection: AsyncConnection, workspace_id: UUID, message_id: UUID) -> None:
    """Give a held message up."""
    await _change(
        connection,
        workspace_id,
        message_id,
        Command.FAIL,
        **without_a_send(State.FAILED, FailureReason.GIVEN_UP),
    )


async def release(connection: AsyncConnection, workspace_id: UUID, message_id: UUID) -> tuple[Channel, Lane] | None:
    """Let a held message be sent again, now. Returns the lane that got work, None while its campaign is paused.

    Raises Refused where a claim would end it at once, as in ``retry``; then it stays held.
    """
    return await _send_again(connection, workspace_id, message_id, Command.RELEASE)


async def retry(connection: AsyncConnection, workspace_id: UUID, message_id: UUID) -> tuple[Channel, Lane] | None:
    """Begin a new run of a message that is FAILED or BOUNCED: as new, due now, its facts left to the history.

    Returns the lane that got work, None while its campaign is paused. Raises Refused where a claim would end it at
    once: expired, erased, suppressed, opted out, its campaign cancelled; then nothing is changed.
    """
    return await _send_again(connection, workspace_id, message_id, Command.RETRY, **a_new_run())


def ended_undelivered() -> ColumnElement[bool]:
    """Whether a message may begin a new run."""
    return _permitted(Command.RETRY)


def _permitted(command: Command) -> ColumnElement[bool]:
    """``person_commands.permitted`` over a row of ``messages``."""
    rule = RULES[command]
    in_state = messages.c.state.in_([state.value for state in rule.states])
    if rule.statuses == tuple(Status):
        return in_state
    return and_(in_state, messages.c.status.in_([status.value for status in rule.statuses]))


def a_new_run() -> dict[str, Any]:
    """What an update sets where a message begins a new run: as new, due now, without a turn."""
    return _due_again() | {
        "token": messages.c.token + 1,
        "run": messages.c.run + 1,
        "tries": 0,
        "crashes": 0,
        "sending_at": null(),
        **{f"{fact.value}_at": null() for fact in Fact},
    }


def _due_again() -> dict[str, Any]:
    return {
        "state": State.QUEUED.value,
        "turn": null(),
        "paused": False,
        "due_at": now_ms(),
        "worker_id": null(),
        "begun": False,
        "ended_at": null(),
        "failure_reason": null(),
    }


async def _change(
    connection: AsyncConnection,
    workspace_id: UUID,
    message_id: UUID,
    command: Command,
    **values: Any,
) -> tuple[Channel, Lane]:
    statement = (
        update(messages)
        .where(messages.c.id == message_id, messages.c.workspace_id == workspace_id, _permitted(command))
        .values(**{"token": messages.c.token + 1, **values})
        .returning(messages.c.channel, messages.c.lane)
    )
    changed = (await connection.execute(statement)).first()
    if changed is not None:
        return Channel(changed.channel), Lane(changed.lane)
    row = await message_views.get(connection, workspace_id, message_id)
    if row is None:
        raise NotFound("There is no such message.")
    shown = "held" if row.state is State.HELD else row.status.value
    raise Conflict(f"{RULES[command].said}; this one is {shown}.")


async def _send_again(
    connection: AsyncConnection,
    workspace_id: UUID,
    message_id: UUID,
    command: Command,
    **values: Any,
) -> tuple[Channel, Lane] | None:
    channel, lane = await _change(connection, workspace_id, message_id, command, **_due_again() | values)
    own = update(messages).where(messages.c.id == message_id)
    try:
        check_standing((await standings(connection, workspace_id, [message_id]))[message_id][1])
    except Parked:
        await connection.execute(own.values(paused=True))
        return None
    group = (channel, lane, workspace_id)
    first = await turns.allot(connection, {group: 1})
    await connection.execute(own.values(turn=first[group]))
    return channel, lane


async def standings(
    connection: AsyncConnection, workspace_id: UUID, message_ids: Sequence[UUID]
) -> dict[UUID, tuple[tuple[Channel, Lane], Standing]]:
    """The lane of each of these messages, and what a claim would read of it now."""
    rows = (
        await connection.execute(
            select(
                messages.c.id,
                messages.c.channel,
                messages.c.lane,
                (messages.c.expires_at <= now_ms()).label("expired"),
                or_(contacts.c.id.is_(None), contacts.c.erased_at.is_not(None)).label("erased"),
                message_details.c.address_digest,
                message_details.c.topic,
                message_details.c.essential,
                campaigns.c.state.label("campaign_state"),
            )
            .join(message_details, message_details.c.message_id == messages.c.id)
            .outerjoin(
                contacts,
                and_(contacts.c.id == messages.c.contact_id, contacts.c.workspace_id == messages.c.workspace_id),
            )
            .outerjoin(
                campaigns,
                and_(campaigns.c.id == messages.c.campaign_id, campaigns.c.workspace_id == messages.c.workspace_id),
            )
            .where(among(messages.c.id, message_ids, is_sqlite=connection.dialect.name == "sqlite"))
        )
    ).all()
    addresses = {row.id: (workspace_id, Channel(row.channel), row.address_digest) for row in rows}
    against = await intake.suppressed(connection, set(addresses.values()))
    found = {}
    for row in rows:
        consent = intake.consent(against.get(addresses[row.id], {}), row.topic)
        standing = Standing(
            expired=bool(row.expired),
            erased=bool(row.erased),
            dead=consent.dead,
            opted_out=consent.opted_out,
            essential=row.essential,
            campaign=None if row.campaign_state is None else CampaignState(row.campaign_state),
        )
        found[row.id] = (Channel(row.channel), Lane(row.lane)), standing
    return found
