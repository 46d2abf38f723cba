"""Browsers of contacts, reached by web push, in the "workspace" dialect."""

import base64
import binascii
import hashlib
from typing import Final
from urllib.parse import urlsplit

from msgspec import UNSET

from api_shim import problems
from api_shim.operations import Call, Reply
from api_shim.problems import FieldError, Problem
from api_shim.workspaces.contact_types import BrowserKeys, BrowserList, BrowserPatch, BrowserQuery, BrowserRequest
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
    keys, place = _keys(request)
    _check_key(keys.p256dh, _P256_POINT, f"{place}/p256dh")
    _check_key(keys.auth, _AUTH_SECRET, f"{place}/auth")
    return Browser(
        endpoint=request.endpoint,
        endpoint_digest=hashlib.sha256(request.endpoint.encode()).digest(),
        p256dh=keys.p256dh,
        auth=keys.auth,
        topic=request.topic,
    )


def _keys(request: BrowserRequest) -> tuple[BrowserKeys, str]:
    """The keys of either form and the pointer to where they stand; raises Problem (400) where both or neither is there.

    In a flat form that is half there, what is missing is named.
    """
    p256dh, auth = request.p256dh, request.auth
    if request.keys is not None:
        for name, value in (("p256dh", p256dh), ("auth", auth)):
            if value is not None:
                raise problems.invalid("given beside keys, which holds it; send one of both", f"#/{name}")
        return request.keys, "#/keys"
    if p256dh is not None and auth is not None:
        return BrowserKeys(p256dh, auth), "#"
    if p256dh is None and auth is None:
        missing = FieldError("either keys, or p256dh and auth, are required", "#/keys")
    else:
        missing = FieldError("required", "#/p256dh" if p256dh is None else "#/auth")
    raise Problem(problems.MISSING_FIELD, errors=(missing,))


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
    row = await change_one(call, Kind.PUSH_SUBSCRIPTION, _NOUN, None, push_subscriptions.change, topic=topic)
    return Reply(browser_view(row))


async def remove(call: Call) -> Reply:
    """Forget a browser."""
    await remove_one(call, Kind.PUSH_SUBSCRIPTION, _NOUN, None, push_subscriptions.remove)
    return Reply()
