"""Which rows a claim reads: the next ready ones of a lane, locked, with all that the send needs to know."""

from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Integer,
    String,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    exists,
    literal,
    null,
    or_,
    select,
    true,
)

from models.session import now_ms
from models.store.recordset import Columns, recordset
from models.store.sandbox_sql import in_sandbox
from models.store.turns import NOBODY
from models.tables import (
    campaigns,
    channel_pauses,
    contacts,
    failing_endpoints,
    lanes,
    message_details,
    messages,
    senders,
    suppressions,
)
from models.vocabulary import Channel, Lane, SuppressionKind

SUSPECT_AFTER: Final = 2
"""Crashes after which a message is claimed alone, by a process with nothing else in its hands."""

WITHOUT: Final[Columns] = {"workspace_id": Uuid()}
"""The recordset ``without`` of ``of_some``: workspaces whose messages are left where they are."""


class Ready(NamedTuple):
    """What a claim reads of one message, in the order of the statement. ``variables``, ``metadata``: JSON as text.

    A tuple of our own: the driver's rows look each name up anew, and a claim asks for thirty.
    """

    id: UUID
    workspace_id: UUID
    contact_id: UUID
    turn: int
    run: int
    token: int
    tries: int
    crashes: int
    due_at: int
    content_id: UUID
    address: str | None
    variables: str
    metadata: str
    on_unknown: str
    essential: bool
    topic: str | None
    track_opens: bool
    track_clicks: bool
    now: int
    expired: bool | None
    erased: bool
    dead: bool
    opt_out: bool
    endpoint_fails: bool
    campaign_state: str | None
    webhook_secret: bytes | None
    webhook_secret_previous: bytes | None


_COLUMNS: Final = (
    "id",
    "workspace_id",
    "contact_id",
    "campaign_id",
    "channel",
    "turn",
    "run",
    "token",
    "tries",
    "crashes",
    "due_at",
    "expires_at",
)
# Not named as columns: those are what an UPDATE around this would write.
CHANNEL: Final = bindparam("of_channel", type_=String)
LANE: Final = bindparam("of_lane", type_=String)
_RESTING: Final = exists().where(channel_pauses.c.channel == CHANNEL, channel_pauses.c.until > now_ms())
# As the index of ready rows says, so that it is used.
_IN_LANE: Final = (
    messages.c.channel == CHANNEL,
    messages.c.lane == LANE,
    messages.c.turn.is_not(None),
)


def asked(channel: Channel, lane: Lane, most: int) -> dict[str, Any]:
    """The parameters of ``of_all`` and ``of_some``."""
    return {"of_channel": channel.value, "of_lane": lane.value, "most": most}


@cache
def of_all(*, suspects: bool) -> Any:
    """The next of all, unless the channel rests: along the lane, ``most`` of them at most."""
    return _with_details(_locked(~_RESTING, suspects=suspects))


@cache
def of_some(*, suspects: bool, is_sqlite: bool) -> Any:
    """The next of those workspaces that are not in ``without``, and while the channel rests, that need no operator's.

    The next of each workspace are found for themselves, so that a million of one are not read for another's sake.
    """
    without = select(recordset("without", WITHOUT, is_sqlite=is_sqlite).c.workspace_id)
    own = select(senders.c.workspace_id).where(senders.c.channel == CHANNEL, ~senders.c.paused)
    theirs = messages.alias("theirs")
    next_ones = (
        select(theirs.c.id)
        .where(
            theirs.c.channel == CHANNEL,
            theirs.c.lane == LANE,
            theirs.c.workspace_id == lanes.c.workspace_id,
            theirs.c.turn.is_not(None),
            _crashed(theirs, suspects=suspects),
        )
        .order_by(theirs.c.turn, theirs.c.id)
        .limit(bindparam("most", type_=Integer))
        .correlate(lanes)
    )
    allowed = [
        lanes.c.channel == CHANNEL,
        lanes.c.lane == LANE,
        lanes.c.workspace_id != literal(NOBODY, Uuid()),
        lanes.c.workspace_id.not_in(without),
        or_(~_RESTING, lanes.c.workspace_id.in_(own), in_sandbox(lanes.c.workspace_id, is_sqlite=is_sqlite)),
    ]
    if is_sqlite:  # it knows no LATERAL, and looks each up by its id
        found = select(messages.c.id).select_from(lanes.join(messages, messages.c.id.in_(next_ones)))
    else:
        each = next_ones.lateral("next_ones")
        found = select(each.c.id).select_from(lanes.join(each, true()))
    return _with_details(_locked(messages.c.id.in_(found.where(*allowed)), suspects=suspects))


def _crashed(table: Any, *, suspects: bool) -> Any:
    return table.c.crashes >= SUSPECT_AFTER if suspects else table.c.crashes < SUSPECT_AFTER


def _locked(condition: Any, *, suspects: bool) -> Any:
    """The next ready rows; whatever the send depends on is read from the rows as they are locked."""
    return (
        select(*[messages.c[name] for name in _COLUMNS])
        .where(*_IN_LANE, _crashed(messages, suspects=suspects), condition)
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


def _with_details(ready: Any) -> Any:
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
            ready.c.due_at,
            message_details.c.content_id,
            message_details.c.address,
            cast(message_details.c.variables, Text).label("variables"),
            cast(message_details.c.metadata, Text).label("metadata"),
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
