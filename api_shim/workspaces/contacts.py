"""Contacts in the "workspace" dialect."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from api_shim import addresses, problems
from api_shim.audit import changing
from api_shim.operations import Call, Reply
from api_shim.problems import FieldError, Problem
from api_shim.workspaces import rotation
from api_shim.workspaces.contact_types import (
    LARGEST_ATTRIBUTES,
    MOST_ATTRIBUTES,
    MOST_TAGS,
    ContactList,
    ContactQuery,
    ContactRequest,
    ExternalId,
    TagsRequest,
)
from api_shim.workspaces.paging import Pagination, Word
from api_shim.workspaces.stored import change_one, fetch_one
from api_shim.workspaces.views import contact_view
from channels import standard_webhooks
from models.audit import Action
from models.errors import Conflict
from models.ids import Kind
from models.sealing import SealedFor
from models.secrets import Keyring
from models.store import contact_terms, contacts, erasing
from models.store.contacts import ContactFilter, ContactRow
from models.vocabulary import Channel

_MOST_WORDS: Final = 8
_ERASED_AT_ONCE: Final = 200
_PLAIN: Final = ("phone", "first_name", "last_name", "timezone", "locale", "external_id")


class Change:
    """What a request makes of a contact; remembers the webhook secret that it made."""

    def __init__(self, request: ContactRequest, keyring: Keyring) -> None:
        """Raises Problem (400) where a value is malformed."""
        self._request = request
        self._keyring = keyring
        self.new_secret: str | None = None
        self._email = _checked(Channel.EMAIL, request.email, "#/email")
        self._webhook_url = _checked(Channel.WEBHOOK, request.webhook_url, "#/webhookUrl")
        chat = request.telegram_chat_id
        self._chat = _checked(Channel.TELEGRAM, str(chat) if isinstance(chat, int) else chat, "#/telegramChatId")
        if isinstance(request.webhook_secret, str):
            try:
                standard_webhooks.decode_secret(request.webhook_secret)
            except ValueError as error:
                raise problems.invalid(str(error), "#/webhookSecret") from None

    def values(self, old: ContactRow | None) -> Mapping[str, Any]:
        """The columns to write over ``old``, or over nothing."""
        request = self._request
        given: dict[str, Any] = {name: getattr(request, name) for name in _PLAIN}
        given |= {"email": self._email, "webhook_url": self._webhook_url, "telegram_chat_id": self._chat}
        given["tags"] = request.tags if request.tags is UNSET else list(dict.fromkeys(request.tags or []))
        values = {name: value for name, value in given.items() if value is not UNSET}
        if not isinstance(request.attributes, msgspec.UnsetType):
            values["attributes"] = _attributes({} if old is None else old.attributes, request.attributes)
        return values | self._secrets(old)

    def _secrets(self, old: ContactRow | None) -> dict[str, Any]:
        asked = self._request.webhook_secret
        had = None if old is None else old.webhook_secret
        url = self._webhook_url
        if url is UNSET and old is not None:
            url = old.webhook_url
        wanted = had is None if asked is UNSET else asked is None
        if not isinstance(asked, str) and not (wanted and isinstance(url, str)):
            return {}
        if isinstance(asked, str):
            secret = asked
        else:
            secret = self.new_secret = standard_webhooks.new_secret()
        return rotation.rotated(self._keyring, SealedFor.WEBHOOK, "webhook_secret", secret, had)


def _checked(channel: Channel, address: str | msgspec.UnsetType | None, pointer: str) -> str | msgspec.UnsetType | None:
    if not isinstance(address, str):
        return address
    try:
        return addresses.normal(channel, address)
    except ValueError as error:
        raise problems.invalid(str(error), pointer) from None


def _attributes(old: Mapping[str, Any], new: Mapping[str, Any] | None) -> dict[str, Any]:
    """``new`` merged into ``old``; raises Problem (400) where that is too much or badly named."""
    merged: dict[str, Any] = {} if new is None else _merged(old, new)
    if len(merged) > MOST_ATTRIBUTES:
        raise problems.invalid(f"more than {MOST_ATTRIBUTES} attributes", "#/attributes")
    try:
        msgspec.convert(list(merged), list[Word])
    except msgspec.ValidationError:
        raise problems.invalid("a name is one line of 1 to 100 characters", "#/attributes") from None
    if len(msgspec.json.encode(merged)) > LARGEST_ATTRIBUTES:
        raise problems.invalid(f"together more than {LARGEST_ATTRIBUTES:,} bytes of JSON", "#/attributes")
    return merged


def _merged(old: Any, new: Mapping[str, Any]) -> dict[str, Any]:
    """A merge patch (RFC 7396, section 2): null removes a name, objects are merged, all else is replaced."""
    merged = dict(old) if isinstance(old, dict) else {}
    for name, value in new.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value) if isinstance(value, dict) else value
    return merged


async def create(call: Call, request: ContactRequest) -> Reply:
    """Make a contact."""
    change = Change(request, await call.services.keyring())
    async with call.services.database.write() as connection:
        row = await contacts.create(connection, call.workspace_id, change.values(None))
    if row is None:
        raise Conflict("Another contact has this externalId.")
    return Reply(contact_view(row, new_secret=change.new_secret))


async def list_all(call: Call, query: ContactQuery) -> Reply:
    """A page of contacts, the newest first."""
    wanted = _filter(query)
    if wanted is None:
        return Reply(ContactList(data=[], pagination=Pagination.of(query, 0)))
    async with call.services.database.read() as connection:
        rows, total = await contacts.page(connection, call.workspace_id, wanted, limit=query.limit, offset=query.offset)
    return Reply(ContactList(data=[contact_view(row) for row in rows], pagination=Pagination.of(query, total)))


def _filter(query: ContactQuery) -> ContactFilter | None:
    """What is asked for; None where no contact can be found by it. Raises Problem (400) for too many words."""
    words = contact_terms.words(query.q or "")
    if len(words) > _MOST_WORDS:
        raise Problem(
            problems.INVALID_PARAMETER, errors=(FieldError(f"holds more than {_MOST_WORDS} words", parameter="q"),)
        )
    email = query.email
    if email is not None:
        try:
            email = addresses.normal(Channel.EMAIL, email)
        except ValueError:
            return None
    if query.q and not words:
        return None
    return ContactFilter(external_id=query.external_id, email=email, tag=query.tag, words=words)


async def get(call: Call) -> Reply:
    """One contact."""
    return Reply(contact_view(await fetch_living(call)))


async def fetch_living(call: Call) -> ContactRow:
    """The path's contact; raises Problem (404) where there is none, or where it was erased."""
    row = await fetch_one(call, Kind.CONTACT, "contact", contacts.get)
    if row.erased_at is not None:
        raise problems.not_found("contact")
    return row


async def patch(call: Call, request: ContactRequest) -> Reply:
    """Change a contact."""
    change = Change(request, await call.services.keyring())
    row = await change_one(call, Kind.CONTACT, "contact", None, contacts.change, change.values)
    return Reply(contact_view(row, new_secret=change.new_secret))


async def upsert(call: Call, request: ContactRequest) -> Reply:
    """Make the contact of an external id, or change it."""
    external_id = call.path("externalId")
    try:
        msgspec.convert(external_id, ExternalId)
    except msgspec.ValidationError:
        raise problems.not_found("contact") from None
    if request.external_id not in (UNSET, external_id):
        raise problems.invalid("differs from the external id in the address", "#/externalId")
    request.external_id = external_id
    change = Change(request, await call.services.keyring())
    async with call.services.database.write() as connection:
        row = await contacts.change(connection, call.workspace_id, external_id, change.values)
        status = 200
        if row is None:
            row = await contacts.create(connection, call.workspace_id, change.values(None))
            status = 201
        if row is None:  # another request made it in between
            row = await contacts.change(connection, call.workspace_id, external_id, change.values)
            status = 200
    if row is None:
        raise Conflict("The contact was removed while it was changed.")
    return Reply(contact_view(row, new_secret=change.new_secret), status=status)


async def change_tags(call: Call, request: TagsRequest) -> Reply:
    """Put tags on a contact and take others off."""

    def changed(old: ContactRow) -> Mapping[str, Any]:
        tags = [tag for tag in old.tags if tag not in request.remove]
        tags = list(dict.fromkeys([*tags, *request.add]))
        if len(tags) > MOST_TAGS:
            raise problems.invalid(f"a contact has at most {MOST_TAGS} tags", "#/add")
        return {"tags": tags}

    row = await change_one(call, Kind.CONTACT, "contact", None, contacts.change, changed)
    return Reply(contact_view(row))


async def erase(call: Call) -> Reply:
    """Erase the person behind a contact; repeated after a failure, it goes on where it stopped."""
    contact_id = call.path_id("contactId", Kind.CONTACT, "contact")
    keyring = await call.services.keyring()
    async with changing(call, Action.CONTACT_ERASE) as change:
        change.of(Kind.CONTACT, contact_id)
        found = await erasing.erase(
            change.connection, call.workspace_id, contact_id, lambda contact: addresses.digests(contact, keyring)
        )
        change.happened = found
    if not await _wipe(call, contact_id) and not found:
        raise problems.not_found("contact")
    return Reply()


async def _wipe(call: Call, contact_id: UUID) -> bool:
    """Make every message of an erased contact say nothing; whether there was one that did."""
    after: UUID | None = None
    while True:
        async with call.services.database.write() as connection:
            wiped = await erasing.wipe(connection, call.workspace_id, contact_id, after=after, most=_ERASED_AT_ONCE)
        if len(wiped) < _ERASED_AT_ONCE:
            return after is not None or bool(wiped)
        after = wiped[-1]
