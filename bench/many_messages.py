"""A workspace with very many messages, made by the database itself: what lists are measured on.

The spread is that of a house of some years: one campaign in three messages, rare statuses that lie far back, one
contact that gets everything, failures of which few are our own fault, subjects of which some hold a word in three and
others a word in a million.
"""

from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from models.session import async_url

WORKSPACE: Final = UUID(int=1)
CAMPAIGN_WORKSPACE: Final = UUID(int=2)
"""All of its messages are of one campaign: ``Known.campaign``."""

_STEP: Final = 50_000
_WAITING: Final = {"queued": "queued", "sending": "sending"}
_DONE: Final = {"queued": "sent", "sending": "sent"}

# The id is a UUIDv7 (RFC 9562, section 5.7) of the n-th tenth of a second. r, s and t are 0 to 9,999.
_ROWS: Final = """
CREATE TEMPORARY TABLE made ON COMMIT DROP AS
SELECT n, r, t, old, 1700000000000 + n * 100 AS at,
    (lpad(to_hex(1700000000000 + n * 100), 12, '0') || '7' || left(md5(n::text), 3)
        || '8' || right(md5(n::text), 15))::uuid AS id,
    CASE WHEN r < 7000 THEN 'EMAIL' WHEN r < 8500 THEN 'PUSH' WHEN r < 9500 THEN 'WEBHOOK'
        WHEN r < 9990 OR NOT old THEN 'ONSITE' ELSE 'TELEGRAM' END AS channel,
    CASE WHEN s < 5500 THEN 'delivered' WHEN s < 7500 THEN 'sent' WHEN s < 8700 THEN 'opened'
        WHEN s < 9300 THEN 'clicked' WHEN s < 9600 THEN CAST(:queued AS text) WHEN s < 9700 THEN 'unsubscribed'
        WHEN NOT old AND s < 9800 THEN 'delivered' WHEN NOT old THEN 'failed' WHEN s < 9850 THEN 'bounced'
        WHEN s < 9990 THEN 'failed' WHEN s < 9995 THEN 'held' ELSE CAST(:sending AS text) END AS kind,
    CASE WHEN t < 3333 THEN 1 WHEN t < 5000 THEN 2 + t % 18 END AS campaign,
    CASE WHEN t >= 9000 THEN 1 + t % 5 END AS journey,
    CASE WHEN n % 50 = 0 THEN 1 ELSE 2 + hashint8(n)::bigint % 50000 + 50000 END AS contact
FROM (
    SELECT n, n <= CAST(:many AS bigint) / 10 AS old, (hashint8(n) & 2147483647) % 10000 AS r,
        (hashint8(n + 1000000007) & 2147483647) % 10000 AS s, (hashint8(n + 2000000011) & 2147483647) % 10000 AS t
    FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
) AS thrown
"""
_MESSAGES: Final = """
INSERT INTO messages (id, workspace_id, contact_id, campaign_id, journey_id, channel, lane, state, due_at, queued_at,
    sending_at, ended_at, failure_reason, sent_at, delivered_at, opened_at, clicked_at, hard_bounced_at,
    unsubscribed_at)
SELECT id, :workspace, lpad(to_hex(contact), 32, '0')::uuid,
    lpad(to_hex(coalesce(CAST(:campaign AS int), campaign)), 32, '0')::uuid,
    lpad(to_hex(journey), 32, '0')::uuid, channel, CASE WHEN campaign IS NULL THEN 'transactional' ELSE 'bulk' END,
    CASE WHEN kind IN ('queued', 'sending', 'held', 'failed') THEN kind ELSE 'done' END, at, at,
    CASE WHEN kind <> 'queued' THEN at + 20 END,
    CASE WHEN kind NOT IN ('queued', 'sending', 'held') THEN at + 60 END,
    CASE WHEN kind = 'failed' THEN CASE WHEN old AND r % 100 = 0 THEN 'poison' WHEN r % 10 = 1 THEN 'expired'
        ELSE 'exhausted' END END,
    CASE WHEN kind NOT IN ('queued', 'sending', 'held', 'failed') THEN at + 60 END,
    CASE WHEN kind IN ('delivered', 'opened', 'clicked', 'unsubscribed') THEN at + 900 END,
    CASE WHEN kind IN ('opened', 'clicked') THEN at + 60000 + r END,
    CASE WHEN kind = 'clicked' THEN at + 90000 + r END,
    CASE WHEN kind = 'bounced' THEN at + 1500 END,
    CASE WHEN kind = 'unsubscribed' THEN at + 300000 END
FROM made
"""
# "news" stands in a third of the subjects, "digest" in one of a hundred, a name in one of 3,000, a number in one.
_DETAILS: Final = """
INSERT INTO message_details (message_id, workspace_id, content_id, step, subject, subject_words, address_digest,
    on_unknown, track_opens, track_clicks, variables, metadata)
SELECT id, :workspace, lpad(to_hex(coalesce(campaign, 100 + n % 1000)), 32, '0')::uuid, 1 + r % 3, words,
    string_to_array(words, ' '),
    '', 'retry', true, true, '{}', '{}'
FROM (
    SELECT *, CASE WHEN campaign = 1 THEN 'news of the week for name' || r % 1000
        WHEN t BETWEEN 6000 AND 6099 THEN 'your digest is here' ELSE 'order ' || n || ' is on its way' END AS words
    FROM made
) AS worded
"""


class Known(NamedTuple):
    """Ids that the messages have: the contact that gets every fiftieth, and a campaign of a third of them."""

    contact: UUID = UUID(int=1)
    other_contact: UUID = UUID(int=50_100)
    campaign: UUID = UUID(int=1)
    small_campaign: UUID = UUID(int=7)
    journey: UUID = UUID(int=2)


async def fill(url: str, number: int, *, waiting: bool = True) -> None:
    """Write ``number`` messages into an empty, migrated PostgreSQL, and let it look at them as autovacuum does.

    ``waiting``: some of them are queued or being sent; else those are sent, so that no worker looks for them.
    """
    kinds = _WAITING if waiting else _DONE
    engine = create_async_engine(async_url(url))  # not ours, whose statements may not take that long
    try:
        for first in range(1, number + 1, _STEP):
            async with engine.begin() as connection:
                last = min(first + _STEP - 1, number)
                await _write(connection, {"first": first, "last": last, "many": number} | kinds)
        async with engine.connect() as plain:
            outside = await plain.execution_options(isolation_level="AUTOCOMMIT")
            for table in ("messages", "message_details"):
                await outside.execute(text(f"VACUUM ANALYZE {table}"))
    finally:
        await engine.dispose()


async def _write(connection: AsyncConnection, values: dict[str, int | str]) -> None:
    await connection.execute(text(_ROWS), values)
    await connection.execute(text(_MESSAGES), {"workspace": WORKSPACE, "campaign": None})
    await connection.execute(text(_DETAILS), {"workspace": WORKSPACE})


async def fill_campaign(url: str, number: int) -> None:
    """Write ``number`` more messages, without details, all of one campaign; ids go on behind those of ``fill``."""
    engine = create_async_engine(async_url(url))
    values = {"workspace": CAMPAIGN_WORKSPACE, "campaign": Known().campaign.int}
    try:
        for first in range(number + 1, 2 * number + 1, _STEP):
            async with engine.begin() as connection:
                rows = {"first": first, "last": min(first + _STEP - 1, 2 * number), "many": 20 * number}
                await connection.execute(text(_ROWS), rows | _WAITING)
                await connection.execute(text(_MESSAGES), values)
    finally:
        await engine.dispose()
