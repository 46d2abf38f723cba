"""From a request to a draft: what can be said of a message before anything is read."""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from api_shim import problems
from api_shim.auth import Principal
from api_shim.decoding import milliseconds
from api_shim.problems import FieldError, Problem
from api_shim.strict_json import pointer_to
from api_shim.workspaces.types import BatchMessageRequest, MessageRequest
from channels import mail_headers, mime, onsite, webhook
from channels.telegram_options import read_options
from models import ids
from models.admission import Draft, Idempotency
from models.errors import Refused
from models.ids import Kind
from models.vocabulary import Channel, FailureReason, Scope

_OPTIONS: Final = {
    Channel.PUSH: frozenset({"ttl", "urgency", "icon", "url"}),
    Channel.TELEGRAM: frozenset({"buttons", "photo", "document", "silent"}),
    Channel.ONSITE: frozenset({"url", "icon"}),
}
_OPTION_CHECKS: Final[Mapping[Channel, Callable[[Mapping[str, Any]], object]]] = {
    Channel.TELEGRAM: read_options,
    Channel.ONSITE: onsite.check_options,
}
_HEADER_CHECKS: Final = {Channel.EMAIL: mail_headers.check_headers, Channel.WEBHOOK: webhook.check_headers}
# Which fields only some channels know.
_ONLY_ON: Final = {
    "to": frozenset({Channel.EMAIL, Channel.TELEGRAM}),
    "attachments": frozenset({Channel.EMAIL}),
    "headers": frozenset(_HEADER_CHECKS),
}
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_QUOTED_KEY: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_FINGERPRINTS: Final = msgspec.json.Encoder(order="deterministic")


def idempotency_key(header: str | None) -> str | None:
    """The client's key: a quoted string (RFC 8941, section 3.3.3) or the bare characters; raises Problem (400)."""
    if header is None:
        return None
    text = header.strip()
    quoted = _QUOTED_KEY.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if not _KEY.fullmatch(key):
        raise Problem(problems.INVALID_HEADER, "Idempotency-Key: 1 to 255 visible ASCII characters, quoted or bare.")
    return key


def key_in_batch(key: str, position: int) -> str:
    """The key of one item of a batch that was sent under ``key``."""
    return f"batch:{hashlib.sha256(key.encode()).hexdigest()}:{position}"


def draft_in_batch(request: BatchMessageRequest, caller: Principal, key: str | None) -> Draft:
    """The same of one item of a batch, under its own key where it has one, else under ``key``."""
    own = request.idempotency_key
    if own is UNSET:
        return draft_of(request, caller, key)
    # Without it the request is what it would be alone, and has that one's fingerprint.
    return draft_of(msgspec.structs.replace(request, idempotency_key=UNSET), caller, own)


def draft_of(request: MessageRequest, caller: Principal, key: str | None) -> Draft:
    """The draft that ``caller`` asks for; raises Problem (400, 403, 404) or Refused (422)."""
    _check_shape(request)
    if request.essential:
        caller.need(Scope.ESSENTIAL)
    contact_id = ids.parse(Kind.CONTACT, request.contact_id)
    if contact_id is None:
        raise problems.not_found("contact")
    tracking = request.tracking
    return Draft(
        id=ids.new_id(),
        workspace_id=caller.workspace_id,
        contact_id=contact_id,
        channel=request.channel,
        subject=request.subject,
        body=request.body,
        template_id=_known_form(Kind.TEMPLATE, request.template_id, FailureReason.UNKNOWN_TEMPLATE, "templateId"),
        campaign_id=_known_form(Kind.CAMPAIGN, request.campaign_id, FailureReason.UNKNOWN_CAMPAIGN, "campaignId"),
        journey_id=_known_form(Kind.JOURNEY, request.journey_id, FailureReason.UNKNOWN_JOURNEY, "journeyId"),
        step=request.step,
        metadata=request.metadata or {},
        send_at=milliseconds(request.send_at, "#/sendAt"),
        expires_at=milliseconds(request.expires_at, "#/expiresAt"),
        lane=request.lane,
        topic=request.topic,
        essential=request.essential,
        on_unknown=request.on_unknown,
        track_opens=None if tracking is None else tracking.opens,
        track_clicks=None if tracking is None else tracking.clicks,
        to=request.to,
        format=request.format,
        attachments=request.attachments,
        headers=request.headers,
        options=_options(request),
        idempotency=None if key is None else Idempotency(key, _fingerprint(request)),
    )


def _fingerprint(request: MessageRequest) -> bytes:
    return hashlib.sha256(_FINGERPRINTS.encode(request)).digest()


def _known_form(kind: Kind, text: str | None, reason: FailureReason, field: str) -> UUID | None:
    if text is None:
        return None
    found = ids.parse(kind, text)
    if found is None:
        raise Refused(reason, f"no such {field.removesuffix('Id')}", f"/{field}")
    return found


def _options(request: MessageRequest) -> dict[str, Any]:
    if request.options is None:
        return {}
    options: dict[str, Any] = msgspec.to_builtins(request.options)
    return options


def _check_shape(request: MessageRequest) -> None:
    """Raises Problem (400) where fields do not go together, and Refused (422) where no mail may hold what they hold."""
    if request.body is None and request.template_id is None:
        raise Problem(problems.MISSING_FIELD, errors=(FieldError("either body or templateId is required", "#/body"),))
    if not (request.to or request.attachments or request.headers or request.options):
        return  # as nearly every message; a batch has ten thousand
    for field, channels in _ONLY_ON.items():
        if getattr(request, field) and request.channel not in channels:
            raise problems.invalid(f"not on {request.channel}", f"#/{field}")
    _check_headers(request)
    if request.channel is Channel.EMAIL:
        _check_mail(request)
    _check_options(request)


def _check_options(request: MessageRequest) -> None:
    """Raises Problem (400) where an option is another channel's, or its own would not take it."""
    options = _options(request)
    for name in options.keys() - _OPTIONS.get(request.channel, frozenset()):
        raise problems.invalid(f"not on {request.channel}", f"#/options/{name}")
    check = _OPTION_CHECKS.get(request.channel)
    if check is not None:
        try:
            check(options)
        except ValueError as error:
            raise problems.invalid(str(error), "#/options") from None


def _check_headers(request: MessageRequest) -> None:
    """Raises Problem (400) where a name may not be used, and Refused (422) where one is given twice."""
    if len({name.lower() for name in request.headers}) < len(request.headers):
        raise Refused(FailureReason.HEADER_INJECTION, "two names differ in case alone", "/headers")
    check_headers = _HEADER_CHECKS.get(request.channel)
    if check_headers is not None:
        try:
            check_headers(dict.fromkeys(request.headers, ""))  # the values are judged apart
        except ValueError as error:
            raise problems.invalid(str(error), "#/headers") from None


def _check_mail(request: MessageRequest) -> None:
    """Raises Refused where a header or a file cannot be sent: the worker would find out only after the 200."""
    pointer = ""
    try:
        for name, value in request.headers.items():
            pointer = pointer_to(("headers", name))
            mail_headers.custom_header(name, value)
        for position, file in enumerate(request.attachments):
            pointer = pointer_to(("attachments", position))
            mime.check_file(file)
    except mail_headers.UnfitForMail as error:
        raise Refused(error.reason, str(error), pointer) from None
