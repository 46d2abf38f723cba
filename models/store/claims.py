"""Claiming: ready rows go to one worker under a fresh fencing token, after what may have changed was read again."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Uuid, bindparam, func, null, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.admission import Parked, Standing, check_standing
from models.errors import Refused
from models.session import now_ms
from models.store import claim_rows, pauses, turns
from models.store.claim_ends import end, park
from models.store.claim_parts import IN_PARTS, BrowserKeys, accepted_parts, browsers_of
from models.store.claim_rows import Ready
from models.store.recordset import Columns, parameters, recordset
from models.tables import messages
from models.vocabulary import CampaignState, Channel, FailureReason, Lane, OnUnknown, State


class Claim(msgspec.Struct, frozen=True):
    """A message in this worker's hands: all that the send needs. ``secrets`` are sealed.

    ``browsers``: (id, endpoint, p256dh, auth) of each, for PUSH. ``accepted``: the parts of this run that got through.
    ``endpoint_fails``: a WEBHOOK's, when it was used last. ``waited_ms``: how long it had been due. ``traceparent``:
    filled in by a process that traces.
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
    waited_ms: int = 0
    lane: Lane = Lane.TRANSACTIONAL
    traceparent: str | None = None

    @property
    def rescued(self) -> bool:
        """Whether the worker that had it died, and nobody tried it since to a known end."""
        return self.crashes > 0 and not self.tries


_PROCEEDING: Columns = {"id": Uuid()}
_JSON: Final = msgspec.json.Decoder()
_ON_UNKNOWN: Final = {each.value: each for each in OnUnknown}


async def claim(
    connection: AsyncConnection,
    channel: Channel,
    lane: Lane,
    worker_id: UUID,
    most: int,
    *,
    suspects: bool = False,
    without: Collection[UUID] = (),
    allowed: Callable[[UUID], int] | None = None,
) -> tuple[list[Claim], bool]:
    """Claim up to ``most`` ready messages; returns those to send, and whether the lane may hold more.

    What must not go out any more ends here with its reason; what must wait loses its turn. Suspects are claimed
    only when asked for. Messages of the workspaces in ``without`` stay on the lane, and so do those beyond the number
    that is ``allowed`` of a workspace.
    """
    rows, left = await _next(connection, channel, lane, most, suspects=suspects, without=without)
    proceeding: list[Ready] = []
    ended: list[tuple[UUID, str, str]] = []
    parked: list[UUID] = []
    taken: Counter[UUID] = Counter()
    last_turn = 0
    for row in rows:
        if row.workspace_id in without or (
            allowed is not None and taken[row.workspace_id] >= allowed(row.workspace_id)
        ):
            left = True
            continue
        last_turn = row.turn
        try:
            _check(row)
        except Refused as refused:
            state = State.CANCELLED if refused.reason is FailureReason.CANCELLED else State.FAILED
            ended.append((row.id, state.value, refused.reason.value))
        except Parked:
            parked.append(row.id)
        else:
            proceeding.append(row)
            taken[row.workspace_id] += 1
    await _take(connection, worker_id, [row.id for row in proceeding])
    await end(connection, ended)
    await park(connection, parked)
    if last_turn:
        await turns.advance(connection, channel, lane, last_turn)
    browsers = await browsers_of(connection, proceeding) if channel is Channel.PUSH else {}
    accepted = await accepted_parts(connection, proceeding) if channel in IN_PARTS else {}
    claims = [claim_of(row, lane, browsers.get(row.id, ()), accepted.get(row.id, frozenset())) for row in proceeding]
    return claims, left


async def _next(
    connection: AsyncConnection, channel: Channel, lane: Lane, most: int, *, suspects: bool, without: Collection[UUID]
) -> tuple[Sequence[Ready], bool]:
    """Rows to claim from, and whether there may be more of them."""
    values = claim_rows.asked(channel, lane, most)
    # Who writes to people seldom has much that waits: to go along the lane is far cheaper than by workspaces.
    if lane is Lane.TRANSACTIONAL or not without:
        rows = [Ready._make(row) for row in await connection.execute(claim_rows.of_all(suspects=suspects), values)]
        left = len(rows) == most
        # A workspace that sends by its own sender need not wait for the operator's.
        if not rows and channel not in await pauses.standing(connection):
            return rows, left
        if rows and not (left and all(row.workspace_id in without for row in rows)):
            return rows, left
    is_sqlite = connection.dialect.name == "sqlite"
    values |= parameters("without", claim_rows.WITHOUT, [(each,) for each in without], is_sqlite=is_sqlite)
    found = await connection.execute(claim_rows.of_some(suspects=suspects, is_sqlite=is_sqlite), values)
    rows = [Ready._make(row) for row in found]
    return rows, bool(without) or len(rows) == most


def _check(row: Ready) -> None:
    """As ``check_standing``; nothing stands against nearly all of them."""
    if row.expired or row.erased or row.dead or row.opt_out or row.campaign_state is not None:
        check_standing(_standing(row))


def _standing(row: Ready) -> Standing:
    return Standing(
        expired=bool(row.expired),
        erased=bool(row.erased),
        dead=bool(row.dead),
        opted_out=bool(row.opt_out),
        essential=row.essential,
        campaign=None if row.campaign_state is None else CampaignState(row.campaign_state),
    )


def claim_of(
    row: Ready, lane: Lane, browsers: tuple[BrowserKeys, ...] = (), accepted: frozenset[str] = frozenset()
) -> Claim:
    """What was read of a message, once it is taken."""
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
        variables=_JSON.decode(row.variables),
        metadata=_JSON.decode(row.metadata),
        on_unknown=_ON_UNKNOWN[row.on_unknown],
        claimed_at=row.now,
        secrets=tuple([each for each in (row.webhook_secret, row.webhook_secret_previous) if each is not None]),
        essential=row.essential,
        track_opens=row.track_opens,
        track_clicks=row.track_clicks,
        browsers=browsers,
        accepted=accepted,
        endpoint_fails=bool(row.endpoint_fails),
        waited_ms=row.now - row.due_at,
        lane=lane,
    )


TAKEN: Final = {
    messages.c.state: State.SENDING.value,
    messages.c.turn: null(),
    messages.c.token: messages.c.token + 1,
    messages.c.worker_id: bindparam("taker", type_=Uuid()),
    messages.c.claimed_at: now_ms(),
    messages.c.begun: False,
    messages.c.sending_at: func.coalesce(messages.c.sending_at, now_ms()),
}
"""What a claim writes; ``taker`` is whose it is."""


@cache
def _taking(is_sqlite: bool) -> Any:
    taken = recordset("taken", _PROCEEDING, is_sqlite=is_sqlite)
    return update(messages).where(messages.c.id == taken.c.id).values(TAKEN)


async def _take(connection: AsyncConnection, worker_id: UUID, ids: Sequence[UUID]) -> None:
    if ids:
        is_sqlite = connection.dialect.name == "sqlite"
        values = parameters("taken", _PROCEEDING, [(each,) for each in ids], is_sqlite=is_sqlite)
        await connection.execute(_taking(is_sqlite), {**values, "taker": worker_id})
