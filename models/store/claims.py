"""Claiming: ready rows go to one worker under a fresh fencing token, after what may have changed was read again."""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import (
    BigInteger,
    Integer,
    String,
    Uuid,
    and_,
    bindparam,
    case,
    exists,
    func,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from models.admission import Parked, Standing, check_standing
from models.content import Content, decode
from models.errors import Refused
from models.session import now_ms
from models.store import turns
from models.store.recordset import Columns, parameters, recordset
from models.tables import (
    campaigns,
    channel_pauses,
    contacts,
    contents,
    message_details,
    messages,
    suppressions,
)
from models.vocabulary import CampaignState, Channel, FailureReason, Lane, OnUnknown, State, SuppressionKind


class Claim(msgspec.Struct, frozen=True):
    """A message in this worker's hands: all that the send needs. ``secrets`` are sealed."""

    id: UUID
    workspace_id: UUID
    contact_id: UUID
    run: int
    token: int
    tries: int
    crashes: int
    content_id: UUID
    address: str | None
    variables: dict[str, str]
    metadata: dict[str, Any]
    on_unknown: OnUnknown
    claimed_at: int
    secrets: tuple[bytes, ...]


_REFUSED: Columns = {"id": Uuid(), "state": String(), "reason": String()}
_PROCEEDING: Columns = {"id": Uuid()}


def _ready() -> Any:
    resting = exists().where(channel_pauses.c.channel == bindparam("channel"), channel_pauses.c.until > now_ms())
    return (
        select(messages.c.id)
        .where(
            messages.c.channel == bindparam("channel"),
            messages.c.lane == bindparam("lane"),
            messages.c.turn.is_not(None),
            ~resting,
        )
        .order_by(messages.c.turn, messages.c.id)
        .limit(bindparam("most", type_=Integer))
        .with_for_update(skip_locked=True)
        .cte("ready")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )


def _suppressed(kind: SuppressionKind) -> Any:
    covered = suppressions.c.topic.in_(["", message_details.c.topic]) if kind is SuppressionKind.OPT_OUT else true()
    return (
        exists()
        .where(
            suppressions.c.workspace_id == messages.c.workspace_id,
            suppressions.c.channel == messages.c.channel,
            suppressions.c.address_digest == message_details.c.address_digest,
            suppressions.c.kind == kind.value,
            covered,
            or_(suppressions.c.expires_at.is_(None), suppressions.c.expires_at > now_ms()),
        )
        .label(kind.value)
    )


def _candidates() -> Any:
    ready = _ready()
    return (
        select(
            messages.c.id,
            messages.c.workspace_id,
            messages.c.contact_id,
            messages.c.turn,
            messages.c.run,
            messages.c.token,
            messages.c.tries,
            messages.c.crashes,
            message_details.c.content_id,
            message_details.c.address,
            message_details.c.variables,
            message_details.c.metadata,
            message_details.c.on_unknown,
            message_details.c.essential,
            now_ms().label("now"),
            (messages.c.expires_at <= now_ms()).label("expired"),
            or_(contacts.c.id.is_(None), contacts.c.erased_at.is_not(None)).label("erased"),
            _suppressed(SuppressionKind.DEAD),
            _suppressed(SuppressionKind.OPT_OUT),
            campaigns.c.state.label("campaign_state"),
            contacts.c.webhook_secret,
            case(
                (contacts.c.webhook_secret_previous_until > now_ms(), contacts.c.webhook_secret_previous),
                else_=null(),
            ).label("webhook_secret_previous"),
        )
        .select_from(ready)
        .join(messages, messages.c.id == ready.c.id)
        .join(message_details, message_details.c.message_id == messages.c.id)
        .outerjoin(
            contacts,
            and_(contacts.c.id == messages.c.contact_id, contacts.c.workspace_id == messages.c.workspace_id),
        )
        .outerjoin(
            campaigns,
            and_(campaigns.c.id == messages.c.campaign_id, campaigns.c.workspace_id == messages.c.workspace_id),
        )
    )


_CANDIDATES = _candidates()


async def claim(
    connection: AsyncConnection, channel: Channel, lane: Lane, worker_id: UUID, most: int
) -> tuple[list[Claim], int]:
    """Claim up to ``most`` ready messages; returns those to send, and how many rows were taken off the lane.

    What must not go out any more ends here with its reason; what must wait loses its turn.
    """
    rows = (await connection.execute(_CANDIDATES, {"channel": channel.value, "lane": lane.value, "most": most})).all()
    proceeding: list[Any] = []
    ended: list[tuple[UUID, str, str]] = []
    parked: list[UUID] = []
    for row in rows:
        try:
            check_standing(_standing(row))
        except Refused as refused:
            state = State.CANCELLED if refused.reason is FailureReason.CANCELLED else State.FAILED
            ended.append((row.id, state.value, refused.reason.value))
        except Parked:
            parked.append(row.id)
        else:
            proceeding.append(row)
    await _take(connection, worker_id, [row.id for row in proceeding])
    await _end(connection, ended)
    await _park(connection, parked)
    if rows:
        await turns.advance(connection, channel, lane, max(row.turn for row in rows))
    return [_claim(row) for row in proceeding], len(rows)


def _standing(row: Any) -> Standing:
    return Standing(
        expired=bool(row.expired),
        erased=bool(row.erased),
        dead=bool(row.dead),
        opted_out=bool(row.opt_out),
        essential=row.essential,
        campaign=None if row.campaign_state is None else CampaignState(row.campaign_state),
    )


def _claim(row: Any) -> Claim:
    return Claim(
        id=row.id,
        workspace_id=row.workspace_id,
        contact_id=row.contact_id,
        run=row.run,
        token=row.token + 1,
        tries=row.tries,
        crashes=row.crashes,
        content_id=row.content_id,
        address=row.address,
        variables=row.variables,
        metadata=row.metadata,
        on_unknown=OnUnknown(row.on_unknown),
        claimed_at=row.now,
        secrets=tuple(secret for secret in (row.webhook_secret, row.webhook_secret_previous) if secret is not None),
    )


@cache
def _taking(is_sqlite: bool) -> Any:
    taken = recordset("taken", _PROCEEDING, is_sqlite=is_sqlite)
    return (
        update(messages)
        .where(messages.c.id == taken.c.id)
        .values(
            state=State.SENDING.value,
            turn=null(),
            token=messages.c.token + 1,
            worker_id=bindparam("taker", type_=Uuid()),
            claimed_at=now_ms(),
            sending_at=func.coalesce(messages.c.sending_at, now_ms()),
        )
    )


async def _take(connection: AsyncConnection, worker_id: UUID, ids: Sequence[UUID]) -> None:
    if ids:
        is_sqlite = connection.dialect.name == "sqlite"
        values = parameters("taken", _PROCEEDING, [(each,) for each in ids], is_sqlite=is_sqlite)
        await connection.execute(_taking(is_sqlite), {**values, "taker": worker_id})


@cache
def _ending(is_sqlite: bool) -> Any:
    refused = recordset("refused", _REFUSED, is_sqlite=is_sqlite)
    return (
        update(messages)
        .where(messages.c.id == refused.c.id)
        .values(
            state=refused.c.state,
            failure_reason=refused.c.reason,
            turn=null(),
            token=messages.c.token + 1,
            ended_at=now_ms(),
        )
    )


async def _end(connection: AsyncConnection, ended: Sequence[tuple[UUID, str, str]]) -> None:
    if ended:
        is_sqlite = connection.dialect.name == "sqlite"
        await connection.execute(_ending(is_sqlite), parameters("refused", _REFUSED, ended, is_sqlite=is_sqlite))


async def _park(connection: AsyncConnection, ids: Sequence[UUID]) -> None:
    if ids:
        await connection.execute(update(messages).where(messages.c.id.in_(ids)).values(paused=True, turn=null()))


async def give_back_strays(
    connection: AsyncConnection, channel: Channel, worker_id: UUID, in_hand: Collection[UUID]
) -> None:
    """Give back what is claimed for this worker and not in its hands: it was never begun."""
    await connection.execute(
        update(messages)
        .where(
            messages.c.worker_id == worker_id,
            messages.c.state == State.SENDING.value,
            messages.c.channel == channel.value,
            messages.c.id.not_in(in_hand),
        )
        .values(state=State.QUEUED.value, token=messages.c.token + 1, worker_id=null(), due_at=now_ms())
    )


async def load_contents(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, Content]:
    """What is said, by content id. Contents are never changed, so callers may keep them."""
    rows = await connection.execute(select(contents.c.id, contents.c.source).where(contents.c.id.in_(ids)))
    return {row.id: decode(row.source) for row in rows}


async def rest(connection: AsyncConnection, channel: Channel, rest_ms: int, detail: str) -> None:
    """Let a channel that is misconfigured rest, for all workers, for ``rest_ms`` from now."""
    await connection.execute(channel_pauses.delete().where(channel_pauses.c.channel == channel.value))
    await connection.execute(
        channel_pauses.insert().values(
            channel=channel.value, until=now_ms() + bindparam("rest_ms", rest_ms, BigInteger()), detail=detail
        )
    )
