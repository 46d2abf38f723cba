"""Requests for links of ours, judged once they have settled: by all that asked for links of the same message."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Boolean, Text, Uuid, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models import hits
from models.hits import BURST_MS, Hit, Verdict
from models.store.events import RawEvent, is_hit
from models.store.recordset import Columns, among, kept_to, parameters, recordset
from models.tables import attempts, events
from models.vocabulary import Outcome

_JUDGED: Columns = {"id": Uuid(), "machine": Boolean(), "reason": Text()}
_Run = tuple[UUID | None, int | None]
"""A message and which run of it."""


async def judge(connection: AsyncConnection, raw: Sequence[RawEvent]) -> list[RawEvent]:
    """The events, each hit among them with its verdict, which is written down.

    A verdict depends on the hits alone, however they are dealt out: on those not applied yet and those applied before.
    """
    settled = [event for event in raw if event.hit is not None]
    if not settled:
        return list(raw)
    verdicts = await _verdicts(connection, settled)
    is_sqlite = connection.dialect.name == "sqlite"
    # Of one whose person was erased meanwhile nothing is left but what it was taken for when it came.
    judged = {event.id: (verdicts[event.id].machine or event.machine, verdicts[event.id].reason) for event in settled}
    rows = [(event_id, *verdict) for event_id, verdict in judged.items()]
    await connection.execute(_judging(is_sqlite), parameters("judged", _JUDGED, rows, is_sqlite=is_sqlite))
    return [event if event.hit is None else _as(event, *judged[event.id]) for event in raw]


def _as(event: RawEvent, machine: bool, reason: str | None) -> RawEvent:
    return msgspec.structs.replace(event, machine=machine, reason=reason)


async def _verdicts(connection: AsyncConnection, settled: Sequence[RawEvent]) -> dict[UUID, Verdict]:
    by_run: defaultdict[_Run, list[Hit]] = defaultdict(list)
    for event in settled:
        by_run[event.message_ref, event.run].append(Hit(event.id, event.at, hits.read(event.hit or b"")))
    message_ids = {event.message_ref for event in settled if event.message_ref is not None}
    is_sqlite = connection.dialect.name == "sqlite"
    beside = await connection.execute(
        select(events.c.id, events.c.message_id, events.c.run, events.c.at, events.c.raw).where(
            among(events.c.message_id, message_ids, is_sqlite=is_sqlite),
            kept_to(events.c.workspace_id, {event.workspace_id for event in settled}, is_sqlite=is_sqlite),
            is_hit(),
            events.c.at >= min(event.at for event in settled) - BURST_MS,
            events.c.at <= max(event.at for event in settled) + BURST_MS,
        )
    )
    for row in beside:
        by_run[row.message_id, row.run].append(Hit(row.id, row.at, hits.read(row.raw)))
    sent = await _sent(connection, message_ids)
    verdicts: dict[UUID, Verdict] = {}
    for run, these in by_run.items():
        verdicts |= hits.verdicts(these, sent.get(run, ()))
    return verdicts


async def _sent(connection: AsyncConnection, message_ids: Collection[UUID]) -> dict[_Run, list[int]]:
    """When a peer accepted each run of these messages."""
    rows = await connection.execute(
        select(attempts.c.message_id, attempts.c.run, attempts.c.ended_at).where(
            among(attempts.c.message_id, message_ids, is_sqlite=connection.dialect.name == "sqlite"),
            attempts.c.outcome == Outcome.ACCEPTED.value,
        )
    )
    found: defaultdict[_Run, list[int]] = defaultdict(list)
    for row in rows:
        found[row.message_id, row.run].append(row.ended_at)
    return found


@cache
def _judging(is_sqlite: bool) -> Any:
    judged = recordset("judged", _JUDGED, is_sqlite=is_sqlite)
    return update(events).where(events.c.id == judged.c.id).values(machine=judged.c.machine, reason=judged.c.reason)
