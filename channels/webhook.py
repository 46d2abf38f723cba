"""WEBHOOK: a signed HTTP POST to a URL that the recipient gave (Standard Webhooks 1.0.0)."""

import re
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal
from urllib.parse import urljoin

import msgspec

from channels import standard_webhooks
from channels.contract import Content, Envelope, Receipt
from channels.endpoint_limits import EndpointLimits
from channels.errors import Permanent, Transient
from channels.guard import ForbiddenDestination, Guard, Resolver
from channels.guarded_http import Answer, GuardedHttp, HttpConfig, retry_after
from channels.rendering import RenderError, Template, Texts
from models import timestamps
from models.vocabulary import Channel as ChannelName
from models.vocabulary import FailureReason

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NOT_IN_A_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")
_OURS: Final = ("content-type", "user-agent", "accept", "accept-encoding")
_FRAMING: Final = ("host", "content-length", "content-encoding", "expect")
_HOP_BY_HOP: Final = (  # RFC 9110, section 7.6.1
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)
_RESERVED: Final = frozenset({*_OURS, *_FRAMING, *_HOP_BY_HOP})

LARGEST_BODY: Final = 1_048_576
"""Bytes of a request's body. Receivers' own limits are about as high."""

_TRACEPARENT: Final = "traceparent"
_SLOTS: Final = 400
_SHARE: Final = 16
"""One endpoint of many has a sixteenth of the slots at most: an eighth of what one workspace has."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class WebhookConfig(HttpConfig):
    """How far webhooks may reach, and how much one may cost."""


class PreparedWebhook(msgspec.Struct, frozen=True):
    """What is made once for all recipients."""

    subject: Template | None
    body: Template | None
    headers: dict[str, str]


class Notice(msgspec.Struct, frozen=True):
    """A webhook of our own, which is no message to a contact: its ``webhook-id``, and its body as it is."""

    id: str
    body: bytes


_NO_HEADERS: Final[Mapping[str, str]] = {}


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    message_id: str
    contact_id: str
    subject: str | None
    body: str | None
    metadata: dict[str, Any]


class _Payload(msgspec.Struct, frozen=True):
    timestamp: str
    data: _Data
    type: Literal["message"] = "message"


class WebhookChannel:
    """Sends webhooks, ``slots`` at once at most.

    ``resolver`` replaces the system's, ``ssl_context`` the default one.
    """

    name = ChannelName.WEBHOOK

    def __init__(
        self,
        config: WebhookConfig,
        *,
        slots: int = _SLOTS,
        processes: Callable[[], int] = lambda: 1,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = EndpointLimits(slots, share=_SHARE, processes=processes)
        self._guard = Guard(config.allow_nets)
        self._http = GuardedHttp(config, resolver=resolver, ssl_context=ssl_context)
        self._encoder = msgspec.json.Encoder()

    def prepare(self, content: Content) -> PreparedWebhook:
        """Compile subject and body, check the headers; raises Permanent where one of them cannot be sent."""
        try:
            texts = Texts(content.subject, content.body, content.format)
        except RenderError as error:
            raise Permanent(str(error), reason=FailureReason.RENDER_ERROR) from error
        try:
            check_headers(content.headers)
        except ValueError as error:
            raise Permanent(str(error), reason=FailureReason.HEADER_INJECTION) from error
        return PreparedWebhook(texts.subject, texts.body, content.headers)

    async def send(self, envelope: Envelope, prepared: PreparedWebhook | Notice) -> Receipt:
        """POST the message, or the notice.

        The id and the body are the same on every attempt, the time and the signature are not.
        Receipt for a 2xx; Permanent for a 410, for what the guard refuses and for a redirect to such a place (none is
        followed); Transient for any other answer, since a receiver's faulty release may answer anything; Unknown where
        the line broke after the request was sent; Limited where the endpoint has as many under way as it may have.
        """
        if isinstance(prepared, Notice):
            request_id, body, own_headers = prepared.id, prepared.body, _NO_HEADERS
        else:
            request_id, body, own_headers = envelope.message_id, self._encode(envelope, prepared), prepared.headers
        if len(body) > LARGEST_BODY:
            raise Permanent(f"the body is larger than {LARGEST_BODY} bytes", reason=FailureReason.TOO_LARGE)
        now = int(time.time())
        try:
            if not envelope.secrets:
                raise ValueError("the contact has no webhook secret")
            signature = standard_webhooks.sign(envelope.secrets, message_id=request_id, timestamp=now, body=body)
        except ValueError as error:
            raise Permanent(str(error), reason=FailureReason.CHANNEL_NOT_CONFIGURED) from None
        headers = {
            **own_headers,
            "content-type": "application/json",
            standard_webhooks.ID_HEADER: request_id,
            standard_webhooks.TIMESTAMP_HEADER: str(now),
            standard_webhooks.SIGNATURE_HEADER: signature,
        }
        if envelope.traceparent is not None and not any(name.lower() == _TRACEPARENT for name in own_headers):
            headers[_TRACEPARENT] = envelope.traceparent
        async with self._limits.turn(envelope.address, rescued=envelope.rescued):
            answer = await self._http.post(envelope.address, headers=headers, body=body, proceed=envelope.proceed)
        if answer.status in _REDIRECTS:
            self._judge_redirect(envelope.address, answer)
        return _receipt(answer)

    def _encode(self, envelope: Envelope, prepared: PreparedWebhook) -> bytes:
        try:
            return self._encoder.encode(_payload(envelope, prepared))
        except RenderError as error:
            raise Permanent(str(error), reason=FailureReason.RENDER_ERROR) from error

    def _judge_redirect(self, address: str, answer: Answer) -> None:
        """Permanent where it leads to what we may not reach: nobody sends webhooks there in good faith."""
        try:
            self._guard.check_url(urljoin(address, answer.headers.get("Location", "")))
        except ForbiddenDestination:
            detail = "the endpoint redirects to a destination that is not allowed"
            raise Permanent(detail, reason=FailureReason.FORBIDDEN_DESTINATION, code=str(answer.status)) from None
        except ValueError:
            return

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise ValueError, with a reason fit to be shown, for headers that a webhook cannot carry.

    A name is a token of RFC 9110 (section 5.6.2) and not one of those that the channel or HTTP itself sets; a value
    holds no control character but the tab.
    """
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError("a header's name holds a character that none may hold")
        if name.lower() in _RESERVED or name.lower().startswith("webhook-"):
            raise ValueError(f"the header {name} is reserved")
        if _NOT_IN_A_VALUE.search(value):
            raise ValueError(f"the header {name} holds a control character")


def _payload(envelope: Envelope, prepared: PreparedWebhook) -> _Payload:
    variables = envelope.variables
    # The message's own time, not the attempt's: a UUIDv7 begins with its milliseconds (RFC 9562, section 5.7).
    accepted_at = envelope.uuid.int >> 80
    return _Payload(
        timestamp=timestamps.show(accepted_at),
        data=_Data(
            message_id=envelope.message_id,
            contact_id=envelope.contact_id,
            subject=prepared.subject.fill(variables) if prepared.subject else None,
            body=prepared.body.fill(variables) if prepared.body else None,
            metadata=dict(envelope.metadata),
        ),
    )


def _receipt(answer: Answer) -> Receipt:
    """What an answer means; raises Permanent or Transient where it means no."""
    status, detail = answer.status, answer.detail
    code = str(status)
    if 200 <= status <= 299:
        return Receipt(code=code, detail=detail, delivered=True)
    if status == 410:
        raise Permanent(detail, reason=FailureReason.ENDPOINT_GONE, code=code, hard=True)
    if status in (429, 503):
        raise Transient(detail, code=code, retry_after_s=retry_after(answer.headers))
    raise Transient(detail, code=code)
