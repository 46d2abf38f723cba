"""PUSH: an encrypted notification to every browser of a contact (RFC 8030, RFC 8291, RFC 8292)."""

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol
from uuid import UUID

import msgspec

from channels.contract import Browser, Content, Envelope, Progress, Receipt
from channels.endpoint_limits import EndpointLimits
from channels.errors import Misconfigured, NotStarted, Permanent, SendError, Transient, Unknown
from channels.guard import parse_url
from channels.guarded_http import Answer, GuardedHttp, HttpConfig, retry_after
from channels.plain_text import html_to_text
from channels.rendering import RenderError, Template, Texts
from channels.vapid import Vapid
from models.vocabulary import Channel as ChannelName
from models.vocabulary import FailureReason

MOST_BYTES: Final = 3993
"""Of what is said to a browser, so that a push service takes it encrypted (RFC 8291, section 4)."""

_DEFAULT_TTL_S: Final = 86_400
_AT_ONCE: Final = 16
"""Browsers of one contact that are sent to side by side."""
_TOPIC_BYTES: Final = 24
_GONE: Final = (404, 410)
_OUR_FAULT: Final = (400, 401, 403)
_PROVEN_FOR_S: Final = 3600.0
_SLOTS: Final = 400
_SHARE: Final = 4
"""Push services are few: one of them may have a quarter of the slots, half of what one workspace has."""


class PushConfig(HttpConfig):
    """How far push messages may reach, and how much one may cost: an endpoint is what a stranger gave."""


class PreparedPush(msgspec.Struct, frozen=True):
    """What is made once for all recipients."""

    title: Template | None
    body: Template | None
    is_html: bool
    icon: str | None
    url: str | None
    headers: Mapping[str, str]


class _Payload(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What ``sw.js`` reads. ``beacon``: where it reports the events of ``report`` to; none where nobody asked for any.

    ``url`` stays as it is: nobody but the browser reads it, which reports the click itself.
    """

    message_id: str
    title: str | None = None
    body: str | None = None
    icon: str | None = None
    url: str | None = None
    beacon: str | None = None
    report: tuple[str, ...] = ()


class _Encryption(Protocol):
    """pywebpush's, as far as we use it: for one browser."""

    def encode(self, data: bytes) -> Mapping[str, bytes]:
        """``body``: what is sent (RFC 8188)."""


class PushChannel:
    """Sends to push services; made on the event loop that it is used on."""

    name: ChannelName = ChannelName.PUSH

    def __init__(
        self,
        config: PushConfig,
        vapid: Vapid,
        *,
        slots: int = _SLOTS,
        processes: Callable[[], int] = lambda: 1,
        witnesses: int = 1,
    ) -> None:
        """``slots``: how many sends this process may have under way, of ``processes()``.

        ``witnesses``: how many push services must refuse our signature, and none take it, before that is our fault.
        """
        # Only now: it takes longer to import than most commands take to run.
        import pywebpush  # noqa: PLC0415 - see above

        self._encryption: Callable[[Mapping[str, object]], _Encryption] = pywebpush.WebPusher
        # What it raises for keys that are none: its own error, and those of what it is made of.
        self._malformed = (ValueError, LookupError, pywebpush.WebPushException)
        self._http = GuardedHttp(config)
        self._vapid = vapid
        self._limits = EndpointLimits(slots, share=_SHARE, processes=processes)
        self._proven_at: float | None = None
        self._witnesses = witnesses
        self._refused_by: set[str] = set()
        self._encoder = msgspec.json.Encoder()

    def prepare(self, content: Content) -> PreparedPush:
        """Compile title and text; raises Permanent where one of them cannot be sent."""
        try:
            texts = Texts(content.subject, content.body, content.format)
        except RenderError as error:
            raise Permanent(str(error), reason=FailureReason.RENDER_ERROR) from error
        options = content.options
        ttl = options.get("ttl")
        return PreparedPush(
            texts.subject,
            texts.body,
            content.format == "html",
            options.get("icon"),
            options.get("url"),
            {
                "ttl": str(_DEFAULT_TTL_S if ttl is None else ttl),
                "urgency": options.get("urgency") or "normal",
                "content-encoding": "aes128gcm",
                "content-type": "application/octet-stream",
            },
        )

    async def send(self, envelope: Envelope, prepared: PreparedPush) -> Receipt:
        """Send to every browser that has not accepted it yet; each is a part, named by its id.

        A browser is gone with 404 and 410, and is forgotten. What the message comes to is, the first that holds of
        the browsers that remain:

        - Unknown, where the line to one broke after the request was sent: it may have it;
        - Transient, where one answered 406 (Windows' throttle), 429, 5xx or anything unforeseen, or was not reached;
          the longest ``Retry-After`` holds for all;
        - NotStarted, where one was not begun; Limited, where its push service has as many under way as it may have;
        - Receipt, where one has accepted, by this attempt or an earlier one, whatever the others refused for good;
        - Misconfigured, where one answered 400, 401 or 403: our fault, and no browser's; but Transient while push
          services take our signature, or too few have refused it. Then it is about this subscription, made with
          another key perhaps, and whoever registers such a one must not stop everybody's channel;
        - Permanent, where one refused for good: 413, a destination that the guard refuses, a malformed key;
        - Permanent and bounced, where none is left. A new browser revives the contact.
        """
        payload = self._payload(envelope, prepared)
        headers = {**prepared.headers, "topic": topic(envelope.uuid)}
        waiting = [browser for browser in envelope.browsers if str(browser.id) not in envelope.accepted]
        side_by_side = asyncio.Semaphore(_AT_ONCE)

        async def deliver(browser: Browser) -> Answer | SendError:
            async with side_by_side:
                return await self._deliver(browser, headers, payload, envelope)

        # None is left half-way: an error of ours in one does not end the others.
        ends = await asyncio.gather(*(deliver(browser) for browser in waiting), return_exceptions=True)
        answers: list[Answer | SendError] = []
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, SendError):
                raise end
            answers.append(end)
        return _outcome(envelope, waiting, answers, doubtful=self._is_doubtful())

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()

    def _payload(self, envelope: Envelope, prepared: PreparedPush) -> bytes:
        variables = envelope.variables
        try:
            title = prepared.title.fill(variables) if prepared.title else None
            body = prepared.body.fill(variables) if prepared.body else None
        except RenderError as error:
            raise Permanent(str(error), reason=FailureReason.RENDER_ERROR) from error
        # A notification shows no markup, only text.
        text = html_to_text(body) if body is not None and prepared.is_html else body
        report = _report(envelope)
        payload = self._encoder.encode(
            _Payload(
                message_id=envelope.message_id,
                title=title,
                body=text,
                icon=prepared.icon,
                url=prepared.url,
                beacon=envelope.links.beacon() if report else None,
                report=report,
            )
        )
        if len(payload) > MOST_BYTES:
            detail = f"{len(payload):,} bytes with its addresses; a push message holds {MOST_BYTES:,}"
            raise Permanent(detail, reason=FailureReason.TOO_LARGE)
        return payload

    async def _deliver(
        self, browser: Browser, headers: Mapping[str, str], payload: bytes, envelope: Envelope
    ) -> Answer | SendError:
        """The push service's answer where it took the message or says that the browser is gone, else what is wrong."""
        try:
            body = self._encrypted(browser, payload)
            service = audience(browser.endpoint)
            signed = {**headers, "authorization": self._vapid.authorization(service, time.time())}
        except self._malformed:
            return Permanent("the browser's address or key is malformed", reason=FailureReason.INVALID_ADDRESS)
        try:
            async with self._limits.turn(browser.endpoint, rescued=envelope.rescued):
                answer = await self._http.post(browser.endpoint, headers=signed, body=body, proceed=envelope.proceed)
        except SendError as error:
            return error
        if 200 <= answer.status <= 299:
            self._proven_at = asyncio.get_running_loop().time()
            self._refused_by.clear()
        elif answer.status in _OUR_FAULT and len(self._refused_by) < self._witnesses:
            self._refused_by.add(service)
        return _judged(answer)

    def _is_doubtful(self) -> bool:
        """Whether a refusal of our signature need not be our fault: some take it, or only few have refused it."""
        now = asyncio.get_running_loop().time()
        is_proven = self._proven_at is not None and now - self._proven_at < _PROVEN_FOR_S
        return is_proven or len(self._refused_by) < self._witnesses

    def _encrypted(self, browser: Browser, payload: bytes) -> bytes:
        """The body (RFC 8188)."""
        keys = {"p256dh": browser.p256dh, "auth": browser.auth}
        return self._encryption({"endpoint": browser.endpoint, "keys": keys}).encode(payload)["body"]


def topic(message_id: UUID) -> str:
    """A message's ``Topic``, 32 characters of base64url (RFC 8030, section 5.4): a repeat replaces what still waits."""
    digest = hashlib.sha256(b"topic " + message_id.bytes).digest()
    return base64.urlsafe_b64encode(digest[:_TOPIC_BYTES]).decode()


def audience(endpoint: str) -> str:
    """The origin of an endpoint (RFC 6454, section 6.2), for which a token is made; raises ValueError."""
    return str(parse_url(endpoint).origin())


def _report(envelope: Envelope) -> tuple[str, ...]:
    seen = ("opened", "closed") if envelope.track_opens else ()
    return (*seen, "clicked") if envelope.track_clicks else seen


def _judged(answer: Answer) -> Answer | SendError:
    status, detail = answer.status, answer.detail
    code = str(status)
    if 200 <= status <= 299 or status in _GONE:
        return answer
    if status == 413:
        return Permanent(detail, reason=FailureReason.TOO_LARGE, code=code)
    if status in _OUR_FAULT:
        said = "a push service refuses how we sign"
        return Misconfigured(f"{said}: {detail}", code=code, summary=said)
    return Transient(detail, code=code, retry_after_s=retry_after(answer.headers))


def _outcome(
    envelope: Envelope, waiting: Sequence[Browser], ends: Sequence[Answer | SendError], *, doubtful: bool
) -> Receipt:
    """What the ends of the browsers come to, as ``PushChannel.send`` says."""
    taken: list[tuple[Browser, Answer]] = []
    gone: list[Browser] = []
    errors: list[SendError] = []
    for browser, end in zip(waiting, ends, strict=True):
        if isinstance(end, SendError):
            errors.append(end)
        elif end.status in _GONE:
            gone.append(browser)
        else:
            taken.append((browser, end))
    progress = Progress(accepted=tuple(str(browser.id) for browser, _ in taken), gone=tuple(each.id for each in gone))
    has_one = bool(taken or envelope.accepted)
    error = _chosen(errors, has_one=has_one, doubtful=doubtful)
    if error is None and not has_one:
        error = Permanent("no browser is left", reason=FailureReason.ADDRESS_DEAD, bounced=True)
    if error is not None:
        error.progress = progress if taken or gone else None
        raise error
    summary = f"{len(taken)} of {len(waiting)} browsers took it, {len(gone)} exist no more"
    if not taken:
        return Receipt(detail=summary, progress=progress)
    answer = taken[0][1]
    return Receipt(code=str(answer.status), detail=answer.detail if len(waiting) == 1 else summary, progress=progress)


def _chosen(errors: Sequence[SendError], *, has_one: bool, doubtful: bool) -> SendError | None:
    """The error that the message ends with; None where it ends well, or no browser is left."""
    unfinished: tuple[type[SendError], ...] = (Unknown, Transient, NotStarted)
    hopeless: tuple[type[SendError], ...] = () if has_one else (Misconfigured, Permanent)
    error = next((error for kind in unfinished + hopeless for error in errors if isinstance(error, kind)), None)
    if isinstance(error, Misconfigured) and doubtful:
        return Transient(error.detail, code=error.code)
    if isinstance(error, Transient):
        asked = [each.retry_after_s for each in errors if isinstance(each, Transient)]
        error.retry_after_s = max((seconds for seconds in asked if seconds is not None), default=None)
    return error
