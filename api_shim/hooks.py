"""What providers report: proved, stored whole and applied where its message is known, and only then answered."""

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, ParamSpec, TypeVar

import msgspec
import structlog
from msgspec import UNSET, UnsetType

from api_shim import bounce_mail, hook_effects, incoming, problems
from api_shim.hook_providers import PROVIDERS
from api_shim.incoming import Effect
from api_shim.inflating import read_inflated
from api_shim.operations import Call, Reply
from api_shim.problems import Problem
from channels.providers import sns, telegram
from channels.providers.contract import BadSignature, HookRequest, HookSecrets, ProviderAdapter, TooManyEvents
from models import ids
from models.events import ParsedEvent
from models.evidence import Provider
from models.sealing import SealedFor
from models.secrets import Keyring, SealBroken, token_digest
from models.store import hooks
from models.store.hooks import HookRow
from models.vocabulary import EventType

HOOK_BYTES: Final = 5 << 20
# Ten thousand events take a third of a second, in which no other request would be answered.
_LONG_BYTES: Final = 64 << 10

_BY_PASSWORD: Final = 'Basic realm="hook"'
# No registered scheme: signatures are told by headers that each provider names for itself.
_BY_SIGNATURE: Final = 'Webhook-Signature realm="hook"'

# Somebody has to put a key back; the provider's own schedule lasts for hours.
_MENDED_S: Final = 60

log = structlog.get_logger("api_shim")

P = ParamSpec("P")
T = TypeVar("T")

_NOT_PROVED: Final = "The signature does not prove where the request comes from."


class HookReply(msgspec.Struct):
    """What became of the events of one request.

    ``stored`` are new, ``repeated`` were known; the ``unreadable`` among them are kept and change nothing. ``method``
    and ``callback_query_id`` are for Telegram: by these the answer ends the waiting of a pressed button.
    """

    stored: int
    repeated: int
    unreadable: int
    method: str | UnsetType = UNSET
    callback_query_id: str | UnsetType = UNSET


class HookThere(msgspec.Struct):
    """Somebody listens here for that provider's reports, which come by ``POST``."""

    provider: Provider


async def look(call: Call) -> Reply:
    """Say that the hook is there: some providers look, by HEAD, before they use an address."""
    hook = await _hook(call)
    with _secrets_of(hook):
        _check_basic_auth(hook, await call.services.keyring(), call.request.headers.get("authorization", ""))
    return Reply(HookThere(hook.provider))


async def receive(call: Call) -> Reply:
    """Take in a provider's request."""
    hook = await _hook(call)
    with _secrets_of(hook):
        return await _take_in(call, hook)


@contextmanager
def _secrets_of(hook: HookRow) -> Iterator[None]:
    """Raises Problem (503) where the hook's secrets do not open, which is our own fault: the provider comes again."""
    try:
        yield
    except SealBroken:
        log.error("hook.secret_sealed_by_unknown_key", hook=ids.show(ids.Kind.HOOK, hook.id), provider=hook.provider)
        raise Problem(problems.SECRET_UNREADABLE, headers={"Retry-After": str(_MENDED_S)}) from None


async def _take_in(call: Call, hook: HookRow) -> Reply:
    keyring = await call.services.keyring()
    headers = dict(call.request.headers.items())
    _check_basic_auth(hook, keyring, headers.get("authorization", ""))
    adapter = PROVIDERS[hook.provider].adapter
    if adapter is None:
        is_new, counts = await bounce_mail.receive(call, hook)
        return Reply(HookReply(stored=int(is_new), repeated=int(not is_new), unreadable=int(not counts)))
    body = await read_inflated(call.request, HOOK_BYTES)
    request = HookRequest(headers=headers, body=body, urls=_urls(call, hook, keyring))
    await _prove(call, hook, adapter, keyring, request)
    try:
        parsed = await _of_body(body, adapter.parse, request)
    except TooManyEvents as error:
        raise Problem(problems.TOO_LARGE, f"{error}.") from None
    new = await incoming.store(
        call.services,
        parsed,
        workspace_id=hook.workspace_id,
        source_id=hook.id,
        provider=hook.provider,
        beside=_beside(hook, keyring, request, parsed),
    )
    unreadable = sum(event.type is EventType.IGNORED for event in parsed)
    reply = HookReply(stored=new, repeated=len(parsed) - new, unreadable=unreadable)
    if hook.provider is Provider.SES:
        call.services.sns.confirm(sns.read(body))
    if hook.provider is Provider.TELEGRAM:
        _answer_button(reply, parsed)
    return Reply(reply)


async def _prove(call: Call, hook: HookRow, adapter: ProviderAdapter, keyring: Keyring, request: HookRequest) -> None:
    """Raises Problem (401 or 406) where the request is not its provider's, 503 where nobody can tell now."""
    known, now = PROVIDERS[hook.provider], time.time()
    keys = _sealed_keys(hook, now)
    known_keys = tuple(_opened(keyring, keys))
    if keys and not known_keys:
        raise SealBroken("none of the hook's signing keys")
    given = HookSecrets(signing_keys=known_keys, topic_arns=tuple(hook.topic_arns))
    url: str | None = None
    try:
        if hook.provider is Provider.SES:
            url = sns.examine(request, given.topic_arns, now).signing_cert_url
            given = msgspec.structs.replace(given, certificate=await call.services.sns.certificate(url))
        await _of_body(request.body, adapter.verify, request, given, now)
    except BadSignature:
        if len(known_keys) < len(keys):
            raise SealBroken("it may be signed by the key that does not open") from None
        if known.refusal is problems.UNAUTHORIZED:
            raise _unauthorized(_NOT_PROVED, _BY_SIGNATURE) from None
        raise Problem(known.refusal, _NOT_PROVED) from None
    if url is not None and given.certificate is not None:
        call.services.sns.remember(url, given.certificate)


async def _of_body(body: bytes, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``function`` makes of a request; of a long body in a thread, so that others are answered meanwhile."""
    if len(body) <= _LONG_BYTES:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)


def _beside(hook: HookRow, keyring: Keyring, request: HookRequest, parsed: Sequence[ParsedEvent]) -> Effect | None:
    """What a provider's request does beside its events."""
    token = PROVIDERS[hook.provider].token
    if token is not None:
        return hook_effects.keeping_token(hook, token(request), request.body)
    if hook.provider is Provider.TELEGRAM:
        return hook_effects.following_chats(hook, keyring, parsed)
    return None


def _answer_button(reply: HookReply, parsed: Sequence[ParsedEvent]) -> None:
    for event in parsed:
        waiting = telegram.callback_id(event)
        if waiting is not None:
            reply.method, reply.callback_query_id = "answerCallbackQuery", waiting


def _urls(call: Call, hook: HookRow, keyring: Keyring) -> tuple[str, ...]:
    """The hook's address as its provider may know it: with the query that was added to it, and with credentials."""
    path, query = call.request.url.path, call.request.url.query
    plain = f"{call.services.settings.public_url}{path}"
    urls = [plain, f"{plain}?{query}"] if query else [plain]
    if hook.basic_auth is not None:
        user = keyring.open_text(hook.basic_auth, SealedFor.HOOK_BASIC_AUTH)
        urls += [url.replace("://", f"://{user}@", 1) for url in urls]
    return tuple(urls)


async def _hook(call: Call) -> HookRow:
    """The hook that the path names; raises Problem (404), the same for every part of it that is wrong."""
    async with call.services.database.read() as connection:
        hook = await hooks.by_key_digest(connection, token_digest(call.path("hookKey")))
    if hook is None or hook.provider != call.path("provider"):
        raise problems.not_found("hook")
    return hook


def _sealed_keys(hook: HookRow, now: float) -> list[bytes]:
    """The keys that prove a request at ``now`` (Unix seconds), sealed: two while they rotate."""
    sealed = [hook.signing_key]
    if hook.signing_key_previous_until is not None and now * 1000 < hook.signing_key_previous_until:
        sealed.append(hook.signing_key_previous)
    return [each for each in sealed if each is not None]


def _opened(keyring: Keyring, keys: Iterable[bytes]) -> Iterator[str]:
    for each in keys:
        with suppress(SealBroken):
            yield keyring.open_text(each, SealedFor.HOOK_SIGNING_KEY)


def _check_basic_auth(hook: HookRow, keyring: Keyring, authorization: str) -> None:
    """Raises Problem (401) where the hook asks for Basic credentials (RFC 7617) and the request has others."""
    if hook.basic_auth is None:
        return
    scheme, _, encoded = authorization.partition(" ")
    try:
        given = base64.b64decode(encoded.strip(), validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        given = b""
    if not hmac.compare_digest(given, keyring.open(hook.basic_auth, SealedFor.HOOK_BASIC_AUTH)):
        raise _unauthorized("Basic credentials are needed.", _BY_PASSWORD)


def _unauthorized(detail: str, challenge: str) -> Problem:
    """401 with what would be taken (RFC 9110, section 15.5.2)."""
    return Problem(problems.UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenge})
