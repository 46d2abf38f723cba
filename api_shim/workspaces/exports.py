"""Everything that is held of one person, as one JSON document, written while it is read."""

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from api_shim import addresses, inbox
from api_shim.operations import Call, Reply
from api_shim.workspaces.contact_types import AddressView
from api_shim.workspaces.contacts import fetch_living
from api_shim.workspaces.export_types import ExportedBrowser, ExportedEvent, ExportedMessage
from api_shim.workspaces.suppression_views import release_view, suppression_view
from api_shim.workspaces.views import attempt_views, contact_view, event_fields, message_fields
from models import ids
from models.content import Content, decode
from models.ids import Kind
from models.secrets import Keyring
from models.store import contents, exports, message_views, releases
from models.store import inbox as store
from models.store.contacts import ContactRow
from models.store.exports import BrowserRow, DetailRow, EventRow
from models.store.message_views import AttemptRow, MessageRow
from models.store.suppressions import Address
from models.timestamps import show

T = TypeVar("T")

_MESSAGES: Final = 20  # at a time: each may say a mebibyte
_EVENTS: Final = 50
_ITEMS: Final = 50
_ADDRESSES: Final = 500


async def export(call: Call) -> Reply:
    """Everything that is held of a contact."""
    contact = await fetch_living(call)
    document = _Document(call, contact, await call.services.keyring())
    headers = {"Content-Disposition": f'attachment; filename="{ids.show(Kind.CONTACT, contact.id)}.json"'}
    return Reply(document.chunks(), headers=headers)


class _Document:
    """One export under way; remembers the addresses that it met."""

    def __init__(self, call: Call, contact: ContactRow, keyring: Keyring) -> None:
        self._call = call
        self._database = call.services.database
        self._workspace_id = call.workspace_id
        self._contact = contact
        own = addresses.of_contact(contact)
        self._addresses = [AddressView(channel, address) for channel, address in own.items()]
        self._texts = set(own.values())
        self._digests: set[Address] = set(addresses.digests(contact, keyring))

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of a ``ContactExport``."""
        async with self._database.read() as connection:
            browsers = await exports.browsers(connection, self._workspace_id, self._contact.id)
        now = show(int(time.time() * 1000))
        yield b'{"exportedAt":' + _json(now) + b',"contact":' + _json(contact_view(self._contact))
        yield b',"addresses":' + _json(self._addresses)
        yield b',"browsers":' + _json([_browser(row) for row in browsers]) + b',"messages":['
        async for chunk in self._messages():
            yield chunk
        yield b'],"inbox":['
        async for chunk in self._inbox():
            yield chunk
        yield b'],"suppressions":['
        async for chunk in self._suppressions():
            yield chunk
        yield b'],"releases":['
        async for chunk in self._releases():
            yield chunk
        yield b'],"unmatchedEvents":['
        async for chunk in self._unmatched_events():
            yield chunk
        yield b"]}"

    async def _messages(self) -> AsyncIterator[bytes]:
        after: UUID | None = None
        separator = b""
        while True:
            page, rows, attempts, said = await self._page(after)
            events = _Ahead(self._events([detail.message_id for detail in page]))
            for detail in page:
                row = rows.get(detail.message_id)
                if row is None:
                    continue
                content = None if detail.content_id is None else said.get(detail.content_id)
                whole = _json(_message(row, detail, attempts.get(row.id, []), content))
                yield separator + whole.removesuffix(b"]}")  # its events come one by one
                separator = b","
                between = b""
                async for event in events.of(row.id):
                    yield between + _json(_event(event))
                    between = b","
                yield b"]}"
            if len(page) < _MESSAGES:
                return
            after = page[-1].message_id

    async def _page(
        self, after: UUID | None
    ) -> tuple[Sequence[DetailRow], dict[UUID, MessageRow], dict[UUID, list[AttemptRow]], dict[UUID, Content]]:
        own = self._workspace_id
        async with self._database.read() as connection:
            page = await exports.details(connection, own, self._contact.id, after=after, most=_MESSAGES)
            found = [detail.message_id for detail in page]
            rows = await message_views.get_many(connection, own, found)
            attempts = await exports.attempts_of(connection, found)
            texts = {detail.content_id for detail in page if detail.content_id is not None}
            said = await contents.load(connection, list(texts))
        self._digests |= {(detail.channel, detail.address_digest) for detail in page}
        self._texts |= {detail.address for detail in page if detail.address is not None}
        return page, rows, attempts, {content_id: decode(source) for content_id, source in said.items()}

    async def _events(self, message_ids: Sequence[UUID]) -> AsyncIterator[EventRow]:
        after: tuple[UUID, UUID] | None = None
        while message_ids:
            async with self._database.read() as connection:
                page = await exports.events_of(connection, self._workspace_id, message_ids, after=after, most=_EVENTS)
            for event in page:
                yield event
                if event.message_id is not None:
                    after = (event.message_id, event.id)
            if len(page) < _EVENTS:
                return

    async def _inbox(self) -> AsyncIterator[bytes]:
        view = await inbox.viewer(self._call)
        separator = b""
        after = 0
        while True:
            async with self._database.read() as connection:
                page = await store.everything(connection, self._contact.id, after=after, most=_ITEMS)
            for item in page:
                yield separator + _json(view(item))
                separator = b","
            if len(page) < _ITEMS:
                return
            after = page[-1].number

    async def _suppressions(self) -> AsyncIterator[bytes]:
        separator = b""
        for some in _portions(sorted(self._digests)):
            async with self._database.read() as connection:
                rows = await exports.suppressions_of(connection, self._workspace_id, some)
            for row in rows:
                yield separator + _json(suppression_view(row))
                separator = b","

    async def _releases(self) -> AsyncIterator[bytes]:
        separator = b""
        for some in _portions(sorted(self._digests)):
            async with self._database.read() as connection:
                rows = await releases.of_addresses(connection, self._workspace_id, some)
            for row in rows:
                yield separator + _json(release_view(row))
                separator = b","

    async def _unmatched_events(self) -> AsyncIterator[bytes]:
        separator = b""
        for some in _portions(sorted(self._texts)):
            after: UUID | None = None
            while True:
                async with self._database.read() as connection:
                    page = await exports.unmatched_events(
                        connection, self._workspace_id, some, after=after, most=_EVENTS
                    )
                for event in page:
                    yield separator + _json(_event(event))
                    separator = b","
                if len(page) < _EVENTS:
                    break
                after = page[-1].id


class _Ahead:
    """Events in the order of their messages' ids, given out message by message."""

    def __init__(self, events: AsyncIterator[EventRow]) -> None:
        self._events = events
        self._next: EventRow | None = None

    async def of(self, message_id: UUID) -> AsyncIterator[EventRow]:
        """The events of this message; those of the ones before it are skipped."""
        while True:
            event = self._next or await anext(self._events, None)
            self._next = None
            if event is None or event.message_id is None:
                return
            if event.message_id > message_id:
                self._next = event
                return
            if event.message_id == message_id:
                yield event


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _portions(values: Sequence[T]) -> Iterable[Sequence[T]]:
    return (values[start : start + _ADDRESSES] for start in range(0, len(values), _ADDRESSES))


def _message(
    row: MessageRow, detail: DetailRow, attempts: Sequence[AttemptRow], content: Content | None
) -> ExportedMessage:
    return ExportedMessage(
        **message_fields(row),
        address=detail.address,
        variables=detail.variables,
        content=content,
        attempts=attempt_views(attempts),
        events=[],
    )


def _browser(row: BrowserRow) -> ExportedBrowser:
    return ExportedBrowser(
        id=ids.show(Kind.PUSH_SUBSCRIPTION, row.id),
        endpoint=row.endpoint,
        p256dh=row.p256dh,
        auth=row.auth,
        topic=row.topic,
        created_at=show(row.created_at),
    )


def _event(row: EventRow) -> ExportedEvent:
    return ExportedEvent(**event_fields(row))
