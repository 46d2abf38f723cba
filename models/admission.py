"""May this message be accepted, and may it still be sent? Pure rules; whoever calls them did the reading."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from models.content import Attachment, Content
from models.errors import Refused
from models.tokens import Links
from models.vocabulary import CampaignState, Channel, FailureReason, Lane, OnUnknown


class Idempotency(msgspec.Struct, frozen=True):
    """The client's key, and the SHA-256 of the request's canonical body."""

    key: str
    fingerprint: bytes


class Draft(msgspec.Struct, frozen=True):
    """One send as it was asked for; its shape is already checked. Times are milliseconds (UTC)."""

    id: UUID
    workspace_id: UUID
    contact_id: UUID
    channel: Channel
    subject: str | None = None
    body: str | None = None
    template_id: UUID | None = None
    campaign_id: UUID | None = None
    journey_id: UUID | None = None
    step: int = 1
    metadata: dict[str, Any] = {}
    send_at: int | None = None
    expires_at: int | None = None
    lane: Lane | None = None
    topic: str | None = None
    essential: bool = False
    on_unknown: OnUnknown = OnUnknown.RETRY
    track_opens: bool | None = None
    track_clicks: bool | None = None
    to: str | None = None
    format: str | None = None
    attachments: tuple[Attachment, ...] = ()
    headers: dict[str, str] = {}
    options: dict[str, Any] = {}
    idempotency: Idempotency | None = None
    traceparent: str | None = None


class Recipient(msgspec.Struct, frozen=True):
    """What intake reads of a contact."""

    id: UUID
    email: str | None
    telegram_chat_id: str | None
    webhook_url: str | None
    browsers: int
    first_name: str | None
    last_name: str | None
    phone: str | None
    external_id: str | None
    locale: str | None
    timezone: str | None
    attributes: dict[str, Any]


class Consent(msgspec.Struct, frozen=True):
    """What stands against an address: it is dead, or its owner opted out of the message's topic."""

    dead: bool = False
    opted_out: bool = False


AddressCheck = Callable[[str], str]

OPT_OUT_VARIABLE: Final = "unsubscribeUrl"
"""The name by which a text asks for the link to opt out: no attribute's, and empty until a worker makes the link."""

PREFERENCES_VARIABLE: Final = "preferencesUrl"
"""The same, for the link to all that the reader gets."""


def with_own_links(variables: Mapping[str, Any], links: Links) -> dict[str, Any]:
    """The values of a text, with those of our links that it asks for."""
    own: dict[str, str] = {}
    if OPT_OUT_VARIABLE in variables:
        own[OPT_OUT_VARIABLE] = links.opt_out()
    if PREFERENCES_VARIABLE in variables:
        own[PREFERENCES_VARIABLE] = links.preferences()
    return {**variables, **own}


_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def lane_of(draft: Draft) -> Lane:
    """The lane asked for; without one, what belongs to a campaign or a journey is bulk."""
    if draft.lane is not None:
        return draft.lane
    return Lane.TRANSACTIONAL if draft.campaign_id is None and draft.journey_id is None else Lane.BULK


def address_of(draft: Draft, recipient: Recipient, check: AddressCheck) -> str:
    """The address on the draft's channel, in the form it is used in; raises Refused where there is none."""
    match draft.channel:
        case Channel.EMAIL:
            address = draft.to or recipient.email
        case Channel.TELEGRAM:
            address = draft.to or recipient.telegram_chat_id
        case Channel.WEBHOOK:
            address = recipient.webhook_url
        case Channel.PUSH if not recipient.browsers:
            address = None
        case _:  # the contact itself: its browsers, or its inbox
            address = str(recipient.id)
    if not address:
        raise Refused(FailureReason.NO_ADDRESS, f"the contact has no address on {draft.channel}", "/contactId")
    try:
        return check(address)
    except ValueError as error:
        pointer = "/to" if draft.to else "/contactId"
        raise Refused(FailureReason.INVALID_ADDRESS, str(error), pointer) from None


def check_consent(consent: Consent, *, essential: bool) -> None:
    """Raises Refused where the address may not be written to. Essential messages ignore opt-outs alone."""
    if consent.dead:
        raise Refused(FailureReason.SUPPRESSED, "the address is suppressed")
    if consent.opted_out and not essential:
        raise Refused(FailureReason.OPTED_OUT, "the recipient opted out")


def check_header(value: str, pointer: str) -> None:
    """Raises Refused where a rendered header holds a control character (RFC 5322, section 2.2)."""
    if _CONTROL.search(value):
        raise Refused(FailureReason.HEADER_INJECTION, "holds a line break or another control character", pointer)


def content_of(draft: Draft, part: Mapping[str, Any]) -> Content:
    """What the draft says: the template's ``part`` (subject, body, format), overridden by the draft's own words."""
    body = draft.body if draft.body is not None else part.get("body")
    subject = draft.subject if draft.subject is not None else part.get("subject")
    chosen = draft.format or (None if draft.body is not None else part.get("format"))
    return Content(
        subject=subject,
        body=body,
        format=chosen or format_of(body),
        headers=draft.headers,
        attachments=draft.attachments,
        options=draft.options,
    )


def format_of(body: str | None) -> str:
    """The format of a body that says none."""
    return "html" if body is not None and body.lstrip()[:1] == "<" else "text"


def attributes_of(recipient: Recipient) -> dict[str, Any]:
    """Everything that a text may ask for: the contact's own properties, before its free attributes.

    The free ones stand under their own names and under ``attributes``.
    """
    own = {
        "firstName": recipient.first_name,
        "lastName": recipient.last_name,
        "email": recipient.email,
        "phone": recipient.phone,
        "externalId": recipient.external_id,
        "locale": recipient.locale,
        "timezone": recipient.timezone,
    }
    free = {name: value for name, value in recipient.attributes.items() if value is not None}
    values = free | {name: value for name, value in own.items() if value is not None}
    return values | {"attributes": free} if free else values


def variables_of(names: Iterable[str], attributes: Mapping[str, Any], *, as_text: bool) -> dict[str, Any]:
    """Those of ``attributes`` that a text asks for, by the names it uses: ``city``, ``attributes.city``.

    ``as_text``: what is no text becomes its JSON. A name without a value is left out.
    """
    found: dict[str, Any] = {}
    for name in names:
        value = attributes[name] if name in attributes else _value_inside(attributes, name)
        if value is not None:
            found[name] = _text(value) if as_text else value
    return found


def _value_inside(attributes: Mapping[str, Any], name: str) -> Any:
    value: Any = attributes
    for each in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(each)
    return value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


class Standing(msgspec.Struct, frozen=True):
    """What a claim reads again of a message, because it may have changed since the message was accepted."""

    expired: bool
    erased: bool
    dead: bool
    opted_out: bool
    essential: bool
    campaign: CampaignState | None


class Parked(Exception):
    """The message must wait: its campaign is paused."""


def check_standing(standing: Standing) -> None:
    """Raises Refused where the message must not go out any more, Parked where it must wait."""
    if standing.campaign is CampaignState.CANCELLED:
        raise Refused(FailureReason.CANCELLED, "the campaign was cancelled")
    if standing.expired:
        raise Refused(FailureReason.EXPIRED, "expiresAt has passed")
    if standing.erased:
        raise Refused(FailureReason.ERASED, "the contact was erased")
    check_consent(Consent(dead=standing.dead, opted_out=standing.opted_out), essential=standing.essential)
    if standing.campaign is CampaignState.PAUSED:
        raise Parked
