"""Accepting messages: read what the rules need, decide, store. Requests that arrive together share each step."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Final, cast
from uuid import UUID

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim.composing import Addressed, Composer, Known
from api_shim.traffic import Traffic
from api_shim.workspace_settings import Remembered
from channels.registry import Entry
from models import acceptance
from models.admission import Draft
from models.coalesce import Coalescer
from models.errors import IdempotencyInFlight, IdempotencyMismatch, Refused, StorageUnavailable, WireroomError
from models.secrets import Keyring
from models.session import Database
from models.store import intake as store
from models.store import message_views, senders, settings
from models.store.intake import Owned
from models.store.message_views import MessageRow
from models.store.new_messages import NewMessage
from models.store.settings import WorkspaceSettings
from models.vocabulary import Channel, State, SuppressionKind
from worker.wakeups import Wakeups

_CHUNK: Final = 500
_SLOW: Final = 50
_PATIENCE_S: Final = 5.0
_SETTINGS_S: Final = 5.0
_SENDERS_S: Final = 2.0


class Accepted(msgspec.Struct, frozen=True):
    """A message that is stored. ``replayed``: its idempotency key had been used for the same request before."""

    message: MessageRow
    replayed: bool
    warnings: list[str]


Result = Accepted | WireroomError

Composed = tuple[int, NewMessage, list[str]]
"""(the draft's place, the message, the warnings)."""

Standing = Mapping[store.AddressKey, dict[str, SuppressionKind]]
"""What stands against the addresses."""

log = structlog.get_logger(__name__)


class Intake:
    """Accepts drafts. ``channels``: those that the operator has configured."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        wakeups: Wakeups,
        channels: Mapping[Channel, Entry],
        traffic: Traffic | None = None,
    ) -> None:
        self._database = database
        self._traffic = traffic or Traffic()
        self._composer = Composer(keyring, channels)
        self._channels = channels
        self.settings = Remembered(settings.get_many, WorkspaceSettings(), seconds=_SETTINGS_S)
        self.senders: Remembered[frozenset[Channel]] = Remembered(senders.configured, frozenset(), seconds=_SENDERS_S)
        self._wakeups = wakeups
        self._doubtful: set[UUID] = set()
        # Apart, so that a person's message never waits behind a batch of ten thousand.
        self._singles: Coalescer[Draft, Result] = Coalescer(self._flush, most=_CHUNK, patience_s=_PATIENCE_S)
        # And no plain text behind those that take long to fill.
        self._slow_singles: Coalescer[Draft, Result] = Coalescer(self._flush, most=_SLOW, patience_s=_PATIENCE_S)
        # Two, so that one batch is composed while the database stores the other; a batch's own chunks keep their order.
        self._batches: Sequence[Coalescer[Sequence[Draft], Sequence[Result]]] = [
            Coalescer(self._flush_batch, most=1, patience_s=_PATIENCE_S) for _ in range(2)
        ]

    async def submit(self, draft: Draft) -> Accepted:
        """Accept one draft: it is durable when this returns.

        Raises NotFound (no such contact), Refused, IdempotencyMismatch, IdempotencyInFlight or StorageUnavailable.
        """
        try:
            result = await self._coalescer_for(draft).submit(draft)
        finally:
            self._doubtful.discard(draft.id)
        if isinstance(result, WireroomError):
            raise result
        return result

    def _coalescer_for(self, draft: Draft) -> Coalescer[Draft, Result]:
        return self._slow_singles if self._composer.says_slowly(draft) else self._singles

    async def submit_many(self, drafts: Sequence[Draft]) -> list[Result]:
        """Accept many, each for itself; in order. Raises StorageUnavailable where nothing at all was stored."""
        chunks = [drafts[start : start + _CHUNK] for start in range(0, len(drafts), _CHUNK)]
        batches = min(self._batches, key=attrgetter("ahead"))
        flushed = await asyncio.gather(*map(batches.put, chunks), return_exceptions=True)
        self._doubtful.difference_update(draft.id for draft in drafts)
        broken = [result for result in flushed if isinstance(result, BaseException)]
        for error in broken:
            if len(broken) == len(flushed) or not isinstance(error, WireroomError):
                raise error
        results: list[Result] = []
        for chunk, result in zip(chunks, flushed, strict=True):
            results += [result] * len(chunk) if isinstance(result, WireroomError) else cast("Sequence[Result]", result)
        return results

    async def _flush_batch(self, chunks: Sequence[Sequence[Draft]]) -> Sequence[Sequence[Result]]:
        """Flush the one chunk there is; where its data break that, each draft for itself."""
        (chunk,) = chunks
        try:
            return [await self._flush(chunk)]
        except StorageUnavailable:
            raise
        except IdempotencyInFlight as error:
            return [[error] * len(chunk)]  # their keys were made of one, which another process has in hand
        except Exception:
            # One draft's data must not refuse those of others; sent alone, each gets its own answer.
            log.exception("intake.chunk_broke")
        return [[await self._singles.submit(draft) for draft in chunk]]

    async def drain(self) -> None:
        """Return once everything submitted is stored or refused."""
        await self._singles.drain()
        await self._slow_singles.drain()
        for batches in self._batches:
            await batches.drain()

    async def _flush(self, drafts: Sequence[Draft]) -> Sequence[Result]:
        results: dict[int, Result] = {}
        async with self._database.look() as connection:
            known = await self._read(connection, drafts)
            stored = await self._stored_already(connection, drafts)
            addressed: list[tuple[int, Addressed]] = []
            replays: dict[int, tuple[UUID, UUID]] = {}
            for position, draft in enumerate(drafts):
                if stored and draft.id in stored:
                    results[position] = Accepted(stored[draft.id], replayed=False, warnings=[])
                    continue
                try:
                    owner = _owner_of_key(draft, known)
                    if owner is not None:
                        replays[position] = (draft.workspace_id, owner)
                    else:
                        addressed.append((position, self._composer.address(draft, known)))
                except WireroomError as error:
                    results[position] = error
            standing = await store.suppressed(connection, {each.key for _, each in addressed})
        new = await self._compose(addressed, standing, known, results)
        await self._store(new, drafts, results, replays)
        await self._replay(replays, results)
        for position, result in results.items():
            if isinstance(result, Refused):
                self._traffic.refused(drafts[position].channel, result.reason)
        return [results[position] for position in range(len(drafts))]

    async def _compose(
        self, addressed: Sequence[tuple[int, Addressed]], standing: Standing, known: Known, results: dict[int, Result]
    ) -> list[Composed]:
        quick = [each for each in addressed if not self._composer.is_slow(each[1])]
        slow = [each for each in addressed if self._composer.is_slow(each[1])] if len(quick) < len(addressed) else []
        new = self._compose_all(quick, standing, known, results)
        if slow:
            # In a thread: a batch may hold thousands of texts that take tens of milliseconds each.
            new += await asyncio.to_thread(self._compose_all, slow, standing, known, results)
            new.sort(key=itemgetter(0))
        return new

    def _compose_all(
        self, addressed: Sequence[tuple[int, Addressed]], standing: Standing, known: Known, results: dict[int, Result]
    ) -> list[Composed]:
        new: list[Composed] = []
        for position, each in addressed:
            try:
                consent = store.consent(standing.get(each.key, {}) if standing else {}, each.draft.topic)
                message, warnings = self._composer.compose(each, consent, known)
            except WireroomError as error:
                results[position] = error
            else:
                new.append((position, message, warnings))
        return new

    async def _stored_already(self, connection: AsyncConnection, drafts: Sequence[Draft]) -> Mapping[UUID, MessageRow]:
        """Messages of an earlier try of this flush whose COMMIT happened though its answer got lost."""
        rows: dict[UUID, MessageRow] = {}
        for draft in drafts:
            if draft.id in self._doubtful:
                rows |= await message_views.get_many(connection, draft.workspace_id, [draft.id])
        return rows

    async def _read(self, connection: AsyncConnection, drafts: Sequence[Draft]) -> Known:
        def owned(ids: Sequence[UUID | None]) -> set[Owned]:
            return {(draft.workspace_id, each) for draft, each in zip(drafts, ids, strict=True) if each is not None}

        keys = {(draft.workspace_id, draft.idempotency.key) for draft in drafts if draft.idempotency is not None}
        recipients, now = await store.recipients(connection, owned([draft.contact_id for draft in drafts]))
        return Known(
            now=now,
            recipients=recipients,
            templates=await store.template_versions_of(connection, owned([draft.template_id for draft in drafts])),
            campaigns=await store.campaign_states(connection, owned([draft.campaign_id for draft in drafts])),
            journeys=await store.known_journeys(connection, owned([draft.journey_id for draft in drafts])),
            keys=await store.owners_of_keys(connection, keys),
            settings=await self.settings.read(connection, {draft.workspace_id for draft in drafts}),
            senders=await self.senders.read(
                connection, {draft.workspace_id for draft in drafts if draft.channel not in self._channels}
            ),
        )

    async def _store(
        self,
        new: Sequence[Composed],
        drafts: Sequence[Draft],
        results: dict[int, Result],
        replays: dict[int, tuple[UUID, UUID]],
    ) -> None:
        if not new:
            return
        ids = {message.draft.id for _, message, _ in new}
        self._doubtful |= ids
        stored = await acceptance.commit(self._database, [message for _, message, _ in new])
        self._doubtful -= ids
        fresh: list[NewMessage] = []
        for (position, message, warnings), outcome in zip(new, stored, strict=True):
            if outcome.replay_of is None:
                results[position] = Accepted(_as_row(message), replayed=False, warnings=warnings)
                fresh.append(message)
            elif outcome.same_request:
                replays[position] = (message.draft.workspace_id, outcome.replay_of)
            else:
                results[position] = _mismatch()
        for (channel, lane, _), alike in groupby(fresh, attrgetter("group")):
            self._traffic.accepted(channel, lane, len(list(alike)))
        for channel, lane in {message.group[:2] for message in fresh if message.ready}:
            self._wakeups.poke(channel.value.lower(), lane.value)

    async def _replay(self, replays: Mapping[int, tuple[UUID, UUID]], results: dict[int, Result]) -> None:
        """Answer with the messages as they are now: each was committed with its key, and no message is ever removed."""
        if not replays:
            return
        rows: dict[UUID, MessageRow] = {}
        async with self._database.read() as connection:
            for own in {workspace_id for workspace_id, _ in replays.values()}:
                wanted = [message_id for workspace_id, message_id in replays.values() if workspace_id == own]
                rows |= await message_views.get_many(connection, own, wanted)
        for position, (_, message_id) in replays.items():
            results[position] = Accepted(rows[message_id], replayed=True, warnings=[])


def _owner_of_key(draft: Draft, known: Known) -> UUID | None:
    """The message that the draft's idempotency key made before; raises IdempotencyMismatch for another request's."""
    if draft.idempotency is None:
        return None
    owner = known.keys.get((draft.workspace_id, draft.idempotency.key))
    if owner is None or owner[0] == draft.id:  # our own: an earlier try of this very flush was committed
        return None
    if owner[1] != draft.idempotency.fingerprint:
        raise _mismatch()
    return owner[0]


def _mismatch() -> IdempotencyMismatch:
    return IdempotencyMismatch("the idempotency key was used for another request")


def _as_row(message: NewMessage) -> MessageRow:
    draft = message.draft
    return MessageRow(
        id=draft.id,
        workspace_id=draft.workspace_id,
        contact_id=draft.contact_id,
        channel=draft.channel,
        lane=message.group[1],
        state=State.QUEUED,
        queued_at=message.queued_at,
        due_at=message.due_at,
        campaign_id=draft.campaign_id,
        journey_id=draft.journey_id,
        template_id=draft.template_id,
        step=draft.step,
        subject=message.subject,
        topic=draft.topic,
        essential=draft.essential,
        metadata=draft.metadata,
        expires_at=draft.expires_at,
    )
