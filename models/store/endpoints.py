"""Webhook endpoints that fail: counted while they do, switched off when they have for days, and the workspace told.

An endpoint is a URL of a workspace, by its keyed digest. It has a row only while it fails, so that one which works
costs nothing. Switched off means suppressed: what waits for it ends, and whoever knows better removes the suppression.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Integer, LargeBinary, Uuid, bindparam, case, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.events import ParsedEvent
from models.evidence import Provider
from models.ids import new_id
from models.sandboxes import is_sandbox
from models.session import now_ms
from models.store import events
from models.store.outcomes import Ended
from models.store.recordset import among
from models.store.rows import upsert
from models.store.suppressions import create_lasting
from models.suppression_reasons import SuppressionReason
from models.tables import failing_endpoints, message_details, suppressions
from models.vocabulary import Channel, EventType, FailureReason, SuppressionKind

DISABLED: Final = "endpoint.disabled"
"""The event, of type ``ignored``, that tells a workspace."""

MOST_DAYS: Final = 5
FEWEST_FAILURES: Final = 10
"""Switched off is what failed for five days, ten times at least, and never worked. (Svix: five days, likewise.)"""

_DAY_MS: Final = 86_400_000
_MOST_MS: Final = MOST_DAYS * _DAY_MS
_KEPT_MS: Final = 30 * _DAY_MS

Key = tuple[UUID, bytes]
"""A workspace, and the digest of a URL; of a subscription's endpoint, that of its id and its URL."""


class _Used(NamedTuple):
    """The endpoint of a message."""

    message_id: UUID
    workspace_id: UUID
    address: str
    address_digest: bytes

    @property
    def key(self) -> Key:
        return self.workspace_id, self.address_digest


async def learn(connection: AsyncConnection, ended: Sequence[Ended], recorded: Collection[UUID]) -> None:
    """Write down what these attempts tell of their endpoints.

    Failures and successes count as far as they are among the ``recorded`` messages: repeating a recording records
    nothing again, and so counts nothing twice. An endpoint that is gone is gone, whoever has its message by now.
    """
    telling = {each.message_id: each for each in ended if _is_gone(each) or _works(each, recorded)}
    if not telling:
        return
    used = await _endpoints_of(connection, telling)
    over = {each.key for each in used if telling[each.message_id].endpoint_works or _is_gone(telling[each.message_id])}
    off = {each.key: (each, FailureReason.ENDPOINT_GONE.value) for each in used if _is_gone(telling[each.message_id])}
    failures = Counter(each.key for each in used if each.key not in over)
    failing = await judge(connection, failures, over)
    off |= {each.key: (each, SuppressionReason.ENDPOINT_FAILING.value) for each in used if each.key in failing}
    if off:
        await _switch_off(connection, list(off.values()))


async def forget(connection: AsyncConnection) -> None:
    """Remove what was counted of endpoints that nothing was sent to for a month."""
    old = now_ms() - bindparam("kept", _KEPT_MS, BigInteger())
    await connection.execute(delete(failing_endpoints).where(failing_endpoints.c.last_failed_at < old))


def _works(ended: Ended, recorded: Collection[UUID]) -> bool:
    """Whether it is known now that the endpoint works, or does not."""
    return ended.endpoint_works is not None and ended.message_id in recorded


def _is_gone(ended: Ended) -> bool:
    return ended.dead_address and ended.reason is FailureReason.ENDPOINT_GONE


async def _endpoints_of(connection: AsyncConnection, message_ids: Collection[UUID]) -> list[_Used]:
    """The messages' endpoints, in one order everywhere; an erased person's have none, and a sandbox's are no matter."""
    rows = await connection.execute(
        select(
            message_details.c.message_id,
            message_details.c.workspace_id,
            message_details.c.address,
            message_details.c.address_digest,
        ).where(
            among(message_details.c.message_id, message_ids, is_sqlite=connection.dialect.name == "sqlite"),
            message_details.c.address.is_not(None),
        )
    )
    used = (_Used(*row) for row in rows if not is_sandbox(row.workspace_id))
    return sorted(used, key=lambda each: (each.key, each.message_id))


async def judge(connection: AsyncConnection, failures: Mapping[Key, int], over: Collection[Key]) -> set[Key]:
    """Count failures, and forget those of endpoints with which it is ``over``: they work, or are gone.

    Returns the endpoints that are to be switched off, whose failures are forgotten too. All in one order everywhere, so
    that no two writers wait for each other.
    """
    failing = set()
    for key in sorted({*failures, *over}):
        if key not in over:
            if not await _fails(connection, key, failures[key]):
                continue
            failing.add(key)
        await connection.execute(
            delete(failing_endpoints).where(
                failing_endpoints.c.workspace_id == key[0], failing_endpoints.c.address_digest == key[1]
            )
        )
    return failing


async def _fails(connection: AsyncConnection, key: Key, number: int) -> bool:
    """Count so many failures more; whether it has failed for long enough."""
    statement = _counting(connection.dialect.name == "sqlite")
    row = (await connection.execute(statement, {"workspace": key[0], "digest": key[1], "number": number})).one()
    lasts_ms: int = row.last_failed_at - row.first_failed_at
    return lasts_ms >= _MOST_MS and row.failures >= FEWEST_FAILURES


@cache
def _counting(is_sqlite: bool) -> Any:
    table = failing_endpoints
    insert = upsert(table, is_sqlite=is_sqlite).values(
        workspace_id=bindparam("workspace", type_=Uuid()),
        address_digest=bindparam("digest", type_=LargeBinary()),
        first_failed_at=now_ms(),
        last_failed_at=now_ms(),
        failures=bindparam("number", type_=Integer()),
    )
    # What failed long ago, and was not used since, proves nothing about these days.
    anew = table.c.last_failed_at < now_ms() - bindparam("most", _MOST_MS, BigInteger())
    return insert.on_conflict_do_update(
        index_elements=[table.c.workspace_id, table.c.address_digest],
        set_={
            "first_failed_at": case((anew, insert.excluded.first_failed_at), else_=table.c.first_failed_at),
            "failures": case((anew, insert.excluded.failures), else_=table.c.failures + insert.excluded.failures),
            "last_failed_at": insert.excluded.last_failed_at,
        },
    ).returning(table.c.first_failed_at, table.c.last_failed_at, table.c.failures)


async def _switch_off(connection: AsyncConnection, found: Sequence[tuple[_Used, str]]) -> None:
    """Suppress these endpoints, and tell each workspace once: as long as a suppression stands, it is old news."""
    await create_lasting(
        connection,
        [
            {
                "id": new_id(),
                "workspace_id": used.workspace_id,
                "channel": Channel.WEBHOOK.value,
                "address_digest": used.address_digest,
                "kind": SuppressionKind.DEAD.value,
                "topic": "",
                "address": used.address,
                "reason": reason,
                "message_id": used.message_id,
            }
            for used, reason in found
        ],
    )
    for used, reason in found:
        suppression_id = await connection.scalar(
            select(suppressions.c.id).where(
                suppressions.c.workspace_id == used.workspace_id,
                suppressions.c.channel == Channel.WEBHOOK.value,
                suppressions.c.address_digest == used.address_digest,
                suppressions.c.kind == SuppressionKind.DEAD.value,
                suppressions.c.topic == "",
            )
        )
        await tell(
            connection,
            used.workspace_id,
            message_id=used.message_id,
            url=used.address,
            reason=reason,
            once=str(suppression_id),
        )


async def tell(
    connection: AsyncConnection, workspace_id: UUID, *, message_id: UUID, url: str, reason: str, once: str
) -> None:
    """Tell a workspace that one of its endpoints is switched off; ``once``: told again, it is not written again."""
    event = ParsedEvent(
        type=EventType.IGNORED,
        provider_event=DISABLED,
        dedupe=hashlib.sha256(f"{DISABLED}|{once}".encode()).digest(),
        raw=b"",
        at=None,
        message_ref=message_id,
        recipient=url,
        reason=reason,
    )
    await events.insert(
        connection,
        workspace_id=workspace_id,
        source_id=workspace_id,
        provider=Provider.WIREROOM.value,
        events_=[event],
    )
