"""A Python client of Wireroom's HTTP API in one file: it needs ``httpx`` and nothing else, so that it may be copied.

    with Wireroom("wr_live_…", "ws_…", url="https://wireroom.example.org") as wireroom:
        wireroom.send({"contactId": "ct_…", "channel": "EMAIL", "subject": "Hello", "body": "Good morning"})

Messages are dictionaries with the API's own names; ``/docs`` of a running Wireroom explains them all. What was not
answered is asked again: a message under the idempotency key of the first try, so that it is not sent twice.
"""

import asyncio
import base64
import hmac
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, NotRequired, Required, Self, TypedDict, cast
from urllib.parse import quote

import httpx

LOCAL: Final = "http://127.0.0.1:8080"
LONGEST_WAIT_S: Final = 60.0
"""Where ``Retry-After`` asks for more, the error is raised at once: to wait so long is the caller's to decide."""
TOLERANCE_S: Final = 300
"""How far the time of a signed event may lie from our clock, both ways."""

_TIMEOUT_S: Final = 30.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 20.0
_THIS_MACHINE: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_KEY: Final = "Idempotency-Key"
_Outcome = httpx.Response | httpx.RequestError

Channel = Literal["EMAIL", "PUSH", "TELEGRAM", "ONSITE", "WEBHOOK"]


class NewMessage(TypedDict, total=False):
    """A message to be sent. Either ``body`` or ``templateId`` is needed; times are RFC 3339."""

    contactId: Required[str]
    channel: Required[Channel]
    subject: str
    body: str
    templateId: str
    campaignId: str
    journeyId: str
    metadata: dict[str, Any]
    step: int
    sendAt: str
    expiresAt: str
    lane: Literal["transactional", "bulk"]
    topic: str
    essential: bool
    tracking: dict[str, bool]
    onUnknown: Literal["retry", "hold"]
    to: str
    format: Literal["html", "text", "markdownv2"]
    attachments: list[dict[str, str]]
    headers: dict[str, str]
    options: dict[str, Any]
    idempotencyKey: str  # in a batch alone: a key of your own for this one message


class Message(TypedDict):
    """A message as it stands, among other fields; every time is null until it happened."""

    id: str
    channel: Channel
    status: str
    subject: str | None
    contactId: str
    held: bool
    failureReason: str | None
    queuedAt: str
    sentAt: str | None
    deliveredAt: str | None
    openedAt: str | None
    clickedAt: str | None
    bouncedAt: str | None
    failedAt: str | None
    warnings: NotRequired[list[str]]
    events: NotRequired[list[dict[str, Any]]]
    attempts: NotRequired[list[dict[str, Any]]]


class Listed(TypedDict):
    """The same as lists show it, under other names; its id may be used wherever a message's id may."""

    id: str
    customer_id: str
    medium: Channel
    sent: str | None
    delivered: str | None
    bounced: str | None
    opened: str | None
    clicked: str | None
    complained: str | None


class BatchItem(TypedDict):
    """What became of one message of a batch: 200 and ``message``, or its ``problem`` (RFC 9457)."""

    status: int
    message: NotRequired[Message]
    problem: NotRequired[dict[str, Any]]


class WireroomError(Exception):
    """Whatever went wrong; its text is fit to be shown."""


class BadSignature(WireroomError):
    """An event is not proved to come from who knows the secret."""


class NoAnswer(WireroomError):
    """Wireroom could not be reached or broke off, as often as it was tried."""


class ApiError(WireroomError):
    """Wireroom refused, with a problem document (RFC 9457).

    ``errors``: each with a ``detail`` and a ``pointer`` into the body (RFC 6901) or a ``parameter``. ``message``: the
    message that failed while it was waited for. ``retry_after``: seconds.
    """

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        self.problem = _problem(answer)
        self.type: str | None = self.problem.get("type")
        self.title: str | None = self.problem.get("title")
        self.detail: str | None = self.problem.get("detail")
        self.failure_reason: str | None = self.problem.get("failureReason")
        self.errors: list[dict[str, str]] = self.problem.get("errors", [])
        self.message: Message | None = self.problem.get("message")
        self.retry_after = _retry_after(answer)
        said = [f"HTTP {self.status}", *(one for one in (self.title, self.detail, self.failure_reason) if one)]
        for error in self.errors:
            place, detail = error.get("pointer") or error.get("parameter", ""), error.get("detail", "")
            # Where one thing alone is wrong, the problem's own detail is its sentence.
            said.append(place if detail in said else f"{place}: {detail}")
        super().__init__(" · ".join(filter(None, said)))


class NotFound(ApiError):
    """404: no such message, contact or workspace."""


class Conflict(ApiError):
    """409: not as things stand, as to call back a message that was sent."""


class Refused(ApiError):
    """422: not to this contact on this channel, ``failure_reason`` says why; or the key is another message's."""


class Busy(ApiError):
    """429, 503: Wireroom asks for patience, and was asked as often as was worth while."""


_ERRORS: Final[dict[int, type[ApiError]]] = {404: NotFound, 409: Conflict, 422: Refused, 429: Busy, 503: Busy}


class _Common:
    """What both clients know: how a request is made, and whether it is made again."""

    def __init__(self, http: httpx.Client | httpx.AsyncClient, who: tuple[str, str, str], tries: int) -> None:
        token, workspace, url = who
        self._base, self._tries, self._url = http, tries, url.rstrip("/")
        self._below = f"{self._url}/api/workspaces/{quote(workspace, safe='')}"
        self._headers = {"Authorization": f"Bearer {token}"}

    def _request(self, method: str, path: str, headers: Mapping[str, str], **parts: Any) -> httpx.Request:
        return self._base.build_request(method, self._below + path, headers=self._headers | dict(headers), **parts)

    def _sending(self, message: NewMessage, key: str | None, wait: int | None) -> httpx.Request:
        prefer, patience = ({}, 0) if wait is None else ({"Prefer": f"wait={wait}"}, wait)
        headers = {_KEY: key or str(uuid.uuid4())} | prefer
        return self._request("POST", "/messages", headers, json=message, timeout=_TIMEOUT_S + patience)

    def _batch(self, messages: Iterable[NewMessage], key: str | None) -> httpx.Request:
        return self._request("POST", "/messages/batch", {_KEY: key or str(uuid.uuid4())}, json=list(messages))

    def _one(self, method: str, message_id: str, command: str = "") -> httpx.Request:
        return self._request(method, f"/messages/{quote(message_id, safe='')}{command}", {})

    def _page(self, query: Mapping[str, Any]) -> httpx.Request:
        return self._base.build_request("GET", f"{self._url}/messages", headers=self._headers, params=query)

    def _pause(self, request: httpx.Request, outcome: _Outcome, tried: int) -> float | None:
        """Seconds to wait before it is asked once more; None where the outcome stands."""
        if tried >= self._tries or not _is_worth_repeating(request, outcome):
            return None
        asked = _retry_after(outcome) if isinstance(outcome, httpx.Response) else 0.0
        # Full jitter, so that those who were refused together do not come back together.
        jitter = random.uniform(0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (tried - 1)))  # noqa: S311 - no secret
        return None if asked and asked > LONGEST_WAIT_S else (asked or 0.0) + jitter


class Wireroom(_Common):
    """One workspace, by its token. ``tries``: how often a request is sent at most. Raises ApiError or NoAnswer.

    ``http``: a client of your own, with your proxies, authorities and time-outs, which is yours to close.
    """

    def __init__(
        self, token: str, workspace: str, url: str = LOCAL, *, tries: int = 6, http: httpx.Client | None = None
    ) -> None:
        self._http = http or httpx.Client(timeout=_TIMEOUT_S, trust_env=_trusts(url))
        self._closes = http is None
        super().__init__(self._http, (token, workspace, url), tries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._closes:
            self._http.close()

    def send(self, message: NewMessage, *, key: str | None = None, wait: int | None = None) -> Message:
        """Send one message: it is stored when this returns. ``wait``: up to so many seconds for its being SENT."""
        return cast(Message, self._ask(self._sending(message, key, wait)))

    def send_batch(self, messages: Iterable[NewMessage], *, key: str | None = None) -> list[BatchItem]:
        """Send up to 10,000 messages (16 MiB), each accepted or refused for itself; in their order."""
        return cast(list[BatchItem], self._ask(self._batch(messages, key))["data"])

    def get(self, message_id: str) -> Message:
        """One message, with its events and attempts."""
        return cast(Message, self._ask(self._one("GET", message_id)))

    def why(self, message_id: str) -> dict[str, Any]:
        """What holds a message: ``because`` for people, ``gate`` for programs, null once nothing does."""
        return cast(dict[str, Any], self._ask(self._one("GET", message_id, "/why")))

    def cancel(self, message_id: str) -> Message:
        """Call back a message that is QUEUED; raises Conflict for any other."""
        return cast(Message, self._ask(self._one("POST", message_id, "/cancel")))

    def retry(self, message_id: str) -> Message:
        """Send a message that is FAILED or BOUNCED again; raises Conflict for any other."""
        return cast(Message, self._ask(self._one("POST", message_id, "/retry")))

    def messages(self, **query: str | int) -> Iterator[Listed]:
        """Each message once, the newest first, whatever arrives meanwhile; ``query="m:EMAIL spring"`` finds some."""
        following: Mapping[str, Any] | None = query
        while following is not None:
            page = self._ask(self._page(following))
            yield from page["items"]
            following = _following(page)

    def request(self, method: str, path: str, **parts: Any) -> Any:
        """The JSON of any other operation, ``path`` below the workspace; ``parts`` as of ``httpx``, say ``json=``."""
        return self._ask(self._request(method, path, parts.pop("headers", {}), **parts))

    def _ask(self, request: httpx.Request) -> Any:
        tried = 0
        while True:
            tried += 1
            try:
                outcome: _Outcome = self._http.send(request)
            except httpx.RequestError as error:
                outcome = error
            pause = self._pause(request, outcome, tried)
            if pause is None:
                return _read(outcome)
            time.sleep(pause)


class AsyncWireroom(_Common):
    """The same for ``asyncio``."""

    def __init__(
        self, token: str, workspace: str, url: str = LOCAL, *, tries: int = 6, http: httpx.AsyncClient | None = None
    ) -> None:
        self._http = http or httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=_trusts(url))
        self._closes = http is None
        super().__init__(self._http, (token, workspace, url), tries)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._closes:
            await self._http.aclose()

    async def send(self, message: NewMessage, *, key: str | None = None, wait: int | None = None) -> Message:
        """As ``Wireroom.send``."""
        return cast(Message, await self._ask(self._sending(message, key, wait)))

    async def send_batch(self, messages: Iterable[NewMessage], *, key: str | None = None) -> list[BatchItem]:
        """As ``Wireroom.send_batch``."""
        return cast(list[BatchItem], (await self._ask(self._batch(messages, key)))["data"])

    async def get(self, message_id: str) -> Message:
        """As ``Wireroom.get``."""
        return cast(Message, await self._ask(self._one("GET", message_id)))

    async def why(self, message_id: str) -> dict[str, Any]:
        """As ``Wireroom.why``."""
        return cast(dict[str, Any], await self._ask(self._one("GET", message_id, "/why")))

    async def cancel(self, message_id: str) -> Message:
        """As ``Wireroom.cancel``."""
        return cast(Message, await self._ask(self._one("POST", message_id, "/cancel")))

    async def retry(self, message_id: str) -> Message:
        """As ``Wireroom.retry``."""
        return cast(Message, await self._ask(self._one("POST", message_id, "/retry")))

    async def messages(self, **query: str | int) -> AsyncIterator[Listed]:
        """As ``Wireroom.messages``."""
        following: Mapping[str, Any] | None = query
        while following is not None:
            page = await self._ask(self._page(following))
            for each in page["items"]:
                yield each
            following = _following(page)

    async def request(self, method: str, path: str, **parts: Any) -> Any:
        """As ``Wireroom.request``."""
        return await self._ask(self._request(method, path, parts.pop("headers", {}), **parts))

    async def _ask(self, request: httpx.Request) -> Any:
        tried = 0
        while True:
            tried += 1
            try:
                outcome: _Outcome = await self._http.send(request)
            except httpx.RequestError as error:
                outcome = error
            pause = self._pause(request, outcome, tried)
            if pause is None:
                return _read(outcome)
            await asyncio.sleep(pause)


def verify(body: bytes, headers: Mapping[str, str], secret: str, *, now: float | None = None) -> dict[str, Any]:
    """The event that Wireroom posted, once its signature is proved (Standard Webhooks 1.0.0); raises BadSignature.

    ``body``: the bytes as they came. ``secret``: the subscription's, or the contact's ``webhookSecret``.
    """
    named = {name.lower(): value for name, value in headers.items()}
    sender, at, signatures = (named.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not sender or "." in sender or not (at.isascii() and at.isdigit() and len(at) <= 12):
        raise BadSignature("webhook-id or webhook-timestamp is missing or malformed")
    if abs((time.time() if now is None else now) - int(at)) > TOLERANCE_S:
        raise BadSignature("webhook-timestamp lies more than five minutes from our clock")
    encoded = secret.removeprefix("whsec_")
    if not (key := base64.b64decode(encoded + "=" * (-len(encoded) % 4))):  # anybody could sign by an empty one
        raise BadSignature("the secret holds no key")
    signed = f"{sender}.{at}.".encode("utf-8", "surrogateescape") + body
    digest = hmac.digest(key, signed, "sha256")
    expected = b"v1," + base64.b64encode(digest)
    if not any(hmac.compare_digest(expected, one.encode("utf-8", "surrogateescape")) for one in signatures.split(" ")):
        raise BadSignature("no signature is of this secret")
    return cast(dict[str, Any], json.loads(body))


def _is_worth_repeating(request: httpx.Request, outcome: _Outcome) -> bool:
    """Whether another try may end better, and can do nothing twice."""
    once = request.method == "POST" and _KEY not in request.headers  # as a command, whose answer may have got lost
    if isinstance(outcome, httpx.Response):
        in_flight = outcome.status_code == 409 and str(_problem(outcome).get("type")).endswith("/idempotency-in-flight")
        return outcome.status_code == 429 or in_flight or (outcome.status_code == 503 and not once)
    if once:
        return isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return isinstance(outcome, httpx.TransportError) and not isinstance(outcome, httpx.UnsupportedProtocol)


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds (RFC 9110, section 10.2.3)."""
    asked = answer.headers.get("Retry-After", "")
    if asked.isascii() and asked.isdigit():
        return float(asked)
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    except ValueError:
        return None


def _read(outcome: _Outcome) -> Any:
    if isinstance(outcome, httpx.RequestError):
        raise NoAnswer(f"no answer from {outcome.request.url.netloc.decode()} ({type(outcome).__name__})") from outcome
    if not outcome.is_success:
        raise _ERRORS.get(outcome.status_code, ApiError)(outcome)
    return outcome.json() if outcome.content else None


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        said = dict(answer.json())
    except (TypeError, ValueError, RecursionError):
        return {}
    # Lists are of the "messages" dialect, whose errors are a sentence alone. What is neither is of a proxy on the way.
    problem = {"title": said.get("message")} if "internal_code" in said else said
    texts = [problem.get(name) for name in ("type", "title", "detail", "failureReason")]
    ours = isinstance(errors := problem.get("errors", []), list) and all(isinstance(each, dict) for each in errors)
    return problem if ours and all(isinstance(text, str | None) for text in texts) else {}


def _following(page: Mapping[str, Any]) -> Mapping[str, Any] | None:
    # Of the next page's address the parameters alone: the token goes nowhere but to where the caller said.
    return None if page["next"] is None else dict(httpx.URL(page["next"]).params)


def _trusts(url: str) -> bool:
    return httpx.URL(url).host not in _THIS_MACHINE  # which no proxy that the environment names can reach
