"""Contacts and their browsers in the "workspace" dialect."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET

from api_shim import addresses, problems
from api_shim.operations import Call, Reply
from api_shim.workspaces.contact_types import BrowserRequest, ContactList, ContactQuery, ContactRequest, ExternalId
from api_shim.workspaces.paging import Pagination
from api_shim.workspaces.stored import fetch_one, remove_one
from api_shim.workspaces.views import browser_view, contact_view
from channels import standard_webhooks
from models import ids
from models.errors import Conflict
from models.ids import Kind
from models.secrets import Keyring
from models.session import now_ms
from models.store import contacts
from models.store.contacts import Browser, ContactRow
from models.vocabulary import Channel

# As the workers open it.
_SEALED_AS: Final = "webhook-secret"
_BOTH_VALID_MS: Final = 24 * 3600 * 1000
_P256_POINT: Final = 65
_AUTH_SECRET: Final = 16
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
        if isinstance(request.webhook_secret, str):
            try:
                standard_webhooks.decode_secret(request.webhook_secret)
            except ValueError as error:
                raise problems.invalid(str(error), "#/webhookSecret") from None

    def values(self, old: ContactRow | None) -> Mapping[str, Any]:
        """The columns to write over ``old``, or over nothing."""
        request = self._request
        given: dict[str, Any] = {name: getattr(request, name) for name in _PLAIN}
        given |= {"email": self._email, "webhook_url": self._webhook_url}
        given["tags"] = [] if request.tags is None else request.tags
        chat = request.telegram_chat_id
        given["telegram_chat_id"] = str(chat) if isinstance(chat, int) else chat
        values = {name: value for name, value in given.items() if value is not UNSET}
        if not isinstance(request.attributes, msgspec.UnsetType):
            values["attributes"] = _merged({} if old is None else old.attributes, request.attributes)
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
        values: dict[str, Any] = {"webhook_secret": self._keyring.seal(secret.encode(), _SEALED_AS)}
        if had is not None:
            values["webhook_secret_previous"] = had
            values["webhook_secret_previous_until"] = now_ms() + _BOTH_VALID_MS
        return values


def _checked(channel: Channel, address: str | msgspec.UnsetType | None, pointer: str) -> str | msgspec.UnsetType | None:
    if not isinstance(address, str):
        return address
    try:
        return addresses.normal(channel, address)
    except ValueError as error:
        raise problems.invalid(str(error), pointer) from None


def _merged(old: Mapping[str, Any], new: Mapping[str, Any] | None) -> dict[str, Any]:
    """``new`` over ``old``; null removes a name (RFC 7396, one level deep)."""
    if new is None:
        return {}
    return {name: value for name, value in {**old, **new}.items() if value is not None}


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
    email = query.email
    if email is not None:
        try:
            email = addresses.normal(Channel.EMAIL, email)
        except ValueError:
            return Reply(ContactList(data=[], pagination=Pagination.of(query, 0)))
    async with call.services.database.read() as connection:
        rows, total = await contacts.page(
            connection,
            call.workspace_id,
            external_id=query.external_id,
            email=email,
            limit=query.limit,
            offset=query.offset,
        )
    return Reply(ContactList(data=[contact_view(row) for row in rows], pagination=Pagination.of(query, total)))


async def get(call: Call) -> Reply:
    """One contact."""
    row = await fetch_one(call, Kind.CONTACT, "contact", contacts.get)
    if row.erased_at is not None:
        raise problems.not_found("contact")
    return Reply(contact_view(row))


async def patch(call: Call, request: ContactRequest) -> Reply:
    """Change a contact."""
    contact_id = call.path_id("contactId", Kind.CONTACT, "contact")
    change = Change(request, await call.services.keyring())
    async with call.services.database.write() as connection:
        row = await contacts.change(connection, call.workspace_id, contact_id, change.values)
    if row is None:
        raise problems.not_found("contact")
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


async def erase(call: Call) -> Reply:
    """Erase the person behind a contact."""
    await remove_one(call, Kind.CONTACT, "contact", contacts.erase)
    return Reply()


async def put_browser(call: Call, request: BrowserRequest) -> Reply:
    """Store a browser of a contact, or what changed of it."""
    contact_id = ids.parse(Kind.CONTACT, request.contact_id)
    if contact_id is None:
        raise problems.not_found("contact")
    browser = _browser(request)
    async with call.services.database.write() as connection:
        stored = await contacts.put_browser(connection, call.workspace_id, contact_id, browser)
    if stored is None:
        raise problems.not_found("contact")
    row, is_new = stored
    return Reply(browser_view(row), status=201 if is_new else 200)


def _browser(request: BrowserRequest) -> Browser:
    """Raises Problem (400) where an address or a key is malformed."""
    try:
        parts = urlsplit(request.endpoint)
        good = parts.scheme in ("https", "http") and bool(parts.hostname) and request.endpoint.isprintable()
    except ValueError:
        good = False
    if not good:
        raise problems.invalid("no URL of a push service", "#/endpoint")
    _check_key(request.p256dh, _P256_POINT, "#/p256dh")
    _check_key(request.auth, _AUTH_SECRET, "#/auth")
    return Browser(
        endpoint=request.endpoint,
        endpoint_digest=hashlib.sha256(request.endpoint.encode()).digest(),
        p256dh=request.p256dh,
        auth=request.auth,
        topic=request.topic,
    )


def _check_key(text: str, length: int, pointer: str) -> None:
    try:
        key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != length:
        raise problems.invalid(f"not the base64url of {length} bytes", pointer)
