"""What providers report: proved, stored whole, and only then answered; the tracker applies it afterwards."""

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec

from api_shim import bounce_mail, problems
from api_shim.operations import Call, Reply
from api_shim.problems import Problem
from api_shim.workspaces.hooks import BASIC_AUTH, SIGNING_KEY
from channels.providers.contract import BadSignature, HookRequest, HookSecrets, ProviderAdapter, TooManyEvents
from channels.providers.generic import GenericProvider
from models.events import ParsedEvent
from models.secrets import Keyring, token_digest
from models.store import events, hooks
from models.store.hooks import HookRow
from models.vocabulary import EventType, Provider

HOOK_BYTES: Final = 5 << 20
# How many events are stored before other requests, and other writers of the database, get their turn.
_AT_ONCE: Final = 1_000

_BY_PASSWORD: Final = 'Basic realm="hook"'
# No registered scheme: signatures are told by headers that each provider names for itself.
_BY_SIGNATURE: Final = 'Webhook-Signature realm="hook"'

_ADAPTERS: Final[Mapping[Provider, ProviderAdapter]] = {Provider.GENERIC: GenericProvider()}
_KNOWN: Final = frozenset({*_ADAPTERS, Provider.BOUNCE_MAIL})


class HookReply(msgspec.Struct):
    """What became of the events of one request.

    ``stored`` are new, ``repeated`` were known; the ``unreadable`` among them are kept and change nothing.
    """

    stored: int
    repeated: int
    unreadable: int


async def receive(call: Call) -> Reply:
    """Take in a provider's request."""
    hook = await _hook(call)
    keyring = await call.services.keyring()
    headers = dict(call.request.headers.items())
    _check_basic_auth(hook, keyring, headers.get("authorization", ""))
    if hook.provider is Provider.BOUNCE_MAIL:
        is_new, counts = await bounce_mail.receive(call, hook)
        return Reply(HookReply(stored=int(is_new), repeated=int(not is_new), unreadable=int(not counts)))
    adapter = _ADAPTERS[hook.provider]
    request = HookRequest(headers=headers, body=await call.body(HOOK_BYTES))
    now = time.time()
    try:
        adapter.verify(request, HookSecrets(signing_keys=_signing_keys(hook, keyring, now)), now)
    except BadSignature:
        raise _unauthorized("The signature does not prove where the request comes from.", _BY_SIGNATURE) from None
    try:
        parsed = adapter.parse(request)
    except TooManyEvents as error:
        raise Problem(problems.TOO_LARGE, f"{error}.") from None
    new = await store(call, parsed, workspace_id=hook.workspace_id, source_id=hook.id, provider=hook.provider)
    unreadable = sum(event.type is EventType.IGNORED for event in parsed)
    return Reply(HookReply(stored=new, repeated=len(parsed) - new, unreadable=unreadable))


async def store(
    call: Call, parsed: Sequence[ParsedEvent], *, workspace_id: UUID, source_id: UUID, provider: Provider
) -> int:
    """Store the events and wake the tracker; returns how many are new. ``source_id``: within it events are told apart.

    Where it ends half-way, the provider repeats the whole request.
    """
    new = 0
    for start in range(0, len(parsed), _AT_ONCE):
        async with call.services.database.write() as connection:
            new += await events.insert(
                connection,
                workspace_id=workspace_id,
                source_id=source_id,
                provider=provider.value,
                events_=parsed[start : start + _AT_ONCE],
            )
        await asyncio.sleep(0)
    call.services.wakeups.poke("tracker", "events")
    return new


async def _hook(call: Call) -> HookRow:
    """The hook that the path names; raises Problem (404), the same for every part of it that is wrong."""
    async with call.services.database.read() as connection:
        hook = await hooks.by_key_digest(connection, token_digest(call.path("hookKey")))
    if hook is None or hook.provider != call.path("provider") or hook.provider not in _KNOWN:
        raise problems.not_found("hook")
    return hook


def _signing_keys(hook: HookRow, keyring: Keyring, now: float) -> tuple[str, ...]:
    """The keys that prove a request at ``now`` (Unix seconds): two while they rotate."""
    sealed = [hook.signing_key]
    if hook.signing_key_previous_until is not None and now * 1000 < hook.signing_key_previous_until:
        sealed.append(hook.signing_key_previous)
    return tuple(keyring.open_text(each, SIGNING_KEY) for each in sealed if each is not None)


def _check_basic_auth(hook: HookRow, keyring: Keyring, authorization: str) -> None:
    """Raises Problem (401) where the hook asks for Basic credentials (RFC 7617) and the request has others."""
    if hook.basic_auth is None:
        return
    scheme, _, encoded = authorization.partition(" ")
    try:
        given = base64.b64decode(encoded.strip(), validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        given = b""
    if not hmac.compare_digest(given, keyring.open(hook.basic_auth, BASIC_AUTH)):
        raise _unauthorized("Basic credentials are needed.", _BY_PASSWORD)


def _unauthorized(detail: str, challenge: str) -> Problem:
    """401 with what would be taken (RFC 9110, section 15.5.2)."""
    return Problem(problems.UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenge})
