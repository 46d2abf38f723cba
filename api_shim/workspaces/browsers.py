"""Browsers of contacts, reached by web push, in the "workspace" dialect."""

import base64
import binascii
import hashlib
from typing import Final
from urllib.parse import urlsplit

from msgspec import UNSET

from api_shim import problems
from api_shim.operations import Call, Reply
from api_shim.workspaces.contact_types import BrowserList, BrowserPatch, BrowserQuery, BrowserRequest
from api_shim.workspaces.paging import Pagination
from api_shim.workspaces.stored import change_one, fetch_one, remove_one
from api_shim.workspaces.views import browser_view
from models import ids
from models.ids import Kind
from models.store import push_subscriptions
from models.store.push_subscriptions import Browser

_P256_POINT: Final = 65
_AUTH_SECRET: Final = 16
_NOUN: Final = "browser"


async def put(call: Call, request: BrowserRequest) -> Reply:
    """Store a browser of a contact, or what changed of it."""
    contact_id = ids.parse(Kind.CONTACT, request.contact_id)
    if contact_id is None:
        raise problems.not_found("contact")
    browser = _browser(request)
    async with call.services.database.write() as connection:
        stored = await push_subscriptions.put(connection, call.workspace_id, contact_id, browser)
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


async def list_all(call: Call, query: BrowserQuery) -> Reply:
    """A page of browsers, the newest first."""
    contact_id = None if query.contact_id is None else ids.parse(Kind.CONTACT, query.contact_id)
    if (contact_id is None) != (query.contact_id is None):
        return Reply(BrowserList(data=[], pagination=Pagination.of(query, 0)))
    async with call.services.database.read() as connection:
        rows, total = await push_subscriptions.page(
            connection, call.workspace_id, contact_id=contact_id, limit=query.limit, offset=query.offset
        )
    return Reply(BrowserList(data=[browser_view(row) for row in rows], pagination=Pagination.of(query, total)))


async def get(call: Call) -> Reply:
    """One browser."""
    return Reply(browser_view(await fetch_one(call, Kind.PUSH_SUBSCRIPTION, _NOUN, push_subscriptions.get)))


async def patch(call: Call, request: BrowserPatch) -> Reply:
    """Change what a browser is for."""
    topic = request.topic
    if topic is UNSET:
        return await get(call)
    row = await change_one(call, Kind.PUSH_SUBSCRIPTION, _NOUN, push_subscriptions.change, topic=topic)
    return Reply(browser_view(row))


async def remove(call: Call) -> Reply:
    """Forget a browser."""
    await remove_one(call, Kind.PUSH_SUBSCRIPTION, _NOUN, push_subscriptions.remove)
    return Reply()
