"""Claiming: ready rows go to one worker under a fresh fencing token, after what may have changed was read again."""

from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import (
    Integer,
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
from models.errors import Refused
from models.session import now_ms
from models.store import turns
from models.store.claim_ends import end, park
from models.store.claim_parts import IN_PARTS, BrowserKeys, accepted_parts, browsers_of
from models.store.recordset import Columns, parameters, recordset
from models.tables import (
    campaigns,
    channel_pauses,
    contacts,
    failing_endpoints,
    message_details,
    messages,
    senders,
    suppressions,
)
from models.vocabulary import CampaignState, Channel, FailureReason, Lane, OnUnknown, State, SuppressionKind


class Claim(msgspec.Struct, frozen=True):
    """A message in this worker's hands: all that the send needs. ``secrets`` are sealed.

    ``browsers``: (id, endpoint, p256dh, auth) of each, for PUSH. ``accepted``: the parts of this run that got through.
    ``endpoint_fails``: a WEBHOOK's, when it was used last.
    """

    id: UUID
    workspace_id: UUID
    contact_id: UUID
    run: int
    token: int
    tries: int
    crashes: int
    content_id: UUID
    address: str | None
    variables: dict[str, Any]
    metadata: dict[str, Any]
    on_unknown: OnUnknown
    claimed_at: int
    secrets: tuple[bytes, ...]
    essential: bool
    track_opens: bool
    track_clicks: bool
    browsers: tuple[BrowserKeys, ...] = ()
    accepted: frozenset[str] = frozenset()
    endpoint_fails: bool = False


_PROCEEDING: Columns = {"id": Uuid()}


SUSPECT_AFTER = 2
"""Crashes after which a message is claimed alone, by a process with nothing else in its hands."""


def _ready(*, suspects: bool) -> Any:
    """The next ready rows, locked; whatever the send depends on is read from the rows as they are locked."""
    resting = exists().where(channel_pauses.c.channel == bindparam("channel"), channel_pauses.c.until > now_ms())
    # A workspace that sends by its own sender need not wait for the operator's. Where none does, nothing is read.
    own = select(senders.c.workspace_id).where(senders.c.channel == bindparam("channel"), ~senders.c.paused)
    crashes = messages.c.crashes
    return (
        select(
            messages.c.id,
            messages.c.workspace_id,
            messages.c.contact_id,
            messages.c.campaign_id,
            messages.c.channel,
            messages.c.turn,
            messages.c.run,
            messages.c.token,
            messages.c.tries,
            messages.c.crashes,
            messages.c.expires_at,
        )
        .where(
            messages.c.channel == bindparam("channel"),
            messages.c.lane == bindparam("lane"),
            messages.c.turn.is_not(None),
            crashes >= SUSPECT_AFTER if suspects else crashes < SUSPECT_AFTER,
            or_(~resting, own.exists()),
            or_(~resting, messages.c.workspace_id.in_(own)),
        )
        .order_by(messages.c.turn, messages.c.id)
        .limit(bindparam("most", type_=Integer))
        .with_for_update(skip_locked=True)
        .cte("ready")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )


def _suppressed(ready: Any, kind: SuppressionKind) -> Any:
    covered = suppressions.c.topic.in_(["", message_details.c.topic]) if kind is SuppressionKind.OPT_OUT else true()
    return (
        exists()
        .where(
            suppressions.c.workspace_id == ready.c.workspace_id,
            suppressions.c.channel == ready.c.channel,
            suppressions.c.address_digest == message_details.c.address_digest,
            suppressions.c.kind == kind.value,
            covered,
            or_(suppressions.c.expires_at.is_(None), suppressions.c.expires_at > now_ms()),
        )
        .label(kind.value)
    )


def _candidates(*, suspects: bool) -> Any:
    ready = _ready(suspects=suspects)
    return (
        select(
            ready.c.id,
            ready.c.workspace_id,
            ready.c.contact_id,
            ready.c.turn,
            ready.c.run,
            ready.c.token,
            ready.c.tries,
            ready.c.crashes,
            message_details.c.content_id,
            message_details.c.address,
            message_details.c.variables,
            message_details.c.metadata,
            message_details.c.on_unknown,
            message_details.c.essential,
            message_details.c.topic,
            message_details.c.track_opens,
            message_details.c.track_clicks,
            now_ms().label("now"),
            (ready.c.expires_at <= now_ms()).label("expired"),
            or_(contacts.c.id.is_(None), contacts.c.erased_at.is_not(None)).label("erased"),
            _suppressed(ready, SuppressionKind.DEAD),
            _suppressed(ready, SuppressionKind.OPT_OUT),
            and_(
                ready.c.channel == Channel.WEBHOOK.value,
                exists().where(
                    failing_endpoints.c.workspace_id == ready.c.workspace_id,
                    failing_endpoints.c.address_digest == message_details.c.address_digest,
                ),
            ).label("endpoint_fails"),
            campaigns.c.state.label("campaign_state"),
            contacts.c.webhook_secret,
            case(
                (contacts.c.webhook_secret_previous_until > now_ms(), contacts.c.webhook_secret_previous),
                else_=null(),
            ).label("webhook_secret_previous"),
        )
        .select_from(ready)
        .join(message_details, message_details.c.message_id == ready.c.id)
        .outerjoin(
            contacts,
            and_(contacts.c.id == ready.c.contact_id, contacts.c.workspace_id == ready.c.workspace_id),
        )
        .outerjoin(
            campaigns,
            and_(campaigns.c.id == ready.c.campaign_id, campaigns.c.workspace_id == ready.c.workspace_id),
        )
    )


_CANDIDATES = {suspects: _candidates(suspects=suspects) for suspects in (False, True)}


async def claim(
    connection: AsyncConnection, channel: Channel, lane: Lane, worker_id: UUID, most: int, *, suspects: bool = False
) -> tuple[list[Claim], int]:
    """Claim up to ``most`` ready messages; returns those to send, and how many rows were taken off the lane.

    What must not go out any more ends here with its reason; what must wait loses its turn. Suspects are claimed
    only when asked for.
    """
    rows = (
        await connection.execute(_CANDIDATES[suspects], {"channel": channel.value, "lane": lane.value, "most": most})
    ).all()
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
    await end(connection, ended)
    await park(connection, parked)
    if rows:
        await turns.advance(connection, channel, lane, max(row.turn for row in rows))
    browsers = await browsers_of(connection, proceeding) if channel is Channel.PUSH else {}
    accepted = await accepted_parts(connection, proceeding) if channel in IN_PARTS else {}
    return [_claim(row, browsers.get(row.id, ()), accepted.get(row.id, frozenset())) for row in proceeding], len(rows)


def _standing(row: Any) -> Standing:
    return Standing(
        expired=bool(row.expired),
        erased=bool(row.erased),
        dead=bool(row.dead),
        opted_out=bool(row.opt_out),
        essential=row.essential,
        campaign=None if row.campaign_state is None else CampaignState(row.campaign_state),
    )


def _claim(row: Any, browsers: tuple[BrowserKeys, ...], accepted: frozenset[str]) -> Claim:
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
        essential=row.essential,
        track_opens=row.track_opens,
        track_clicks=row.track_clicks,
        browsers=browsers,
        accepted=accepted,
        endpoint_fails=bool(row.endpoint_fails),
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
            begun=False,
            sending_at=func.coalesce(messages.c.sending_at, now_ms()),
        )
    )


async def _take(connection: AsyncConnection, worker_id: UUID, ids: Sequence[UUID]) -> None:
    if ids:
        is_sqlite = connection.dialect.name == "sqlite"
        values = parameters("taken", _PROCEEDING, [(each,) for each in ids], is_sqlite=is_sqlite)
        await connection.execute(_taking(is_sqlite), {**values, "taker": worker_id})
