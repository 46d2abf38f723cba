"""The JSON of hooks, and of the events that came in by them, in the "workspace" dialect."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_shim.text_forms import BASIC_AUTH, NO_CONTROLS
from api_shim.workspaces.paging import PageQuery, Pagination
from models.evidence import Provider
from models.vocabulary import BounceType, EventType

_SIGNING_KEY = Annotated[
    str,
    Meta(
        max_length=300,
        description="What the provider signs with. generic (`whsec_…`) and telegram (its `secret_token`): made if "
        "absent or null. mailgun: needed. sendgrid, resend, mandrill: shown by the provider once it knows the address; "
        "until the hook has it, nothing is taken. The others have none.",
    ),
]
_BASIC_AUTH = Annotated[str, Meta(max_length=200, pattern=BASIC_AUTH)]
_TOPIC_ARNS = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=300, pattern=NO_CONTROLS)]],
    Meta(max_length=100, description="The SNS topics that ses takes from: at least one. For no other provider."),
]


class HookRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A hook under which a provider reports events. ``basicAuth`` is ``user:password``, asked of each request.

    ``bounce-mail`` takes raw mails (RFC 5322), each proved by the return path of a message that stands in it.
    """

    provider: Literal[
        "sendgrid",
        "mailgun",
        "postmark",
        "ses",
        "resend",
        "brevo",
        "mailjet",
        "sparkpost",
        "mandrill",
        "telegram",
        "generic",
        "bounce-mail",
    ]
    signing_key: _SIGNING_KEY | None = None
    basic_auth: _BASIC_AUTH | None = None
    topic_arns: _TOPIC_ARNS = []


class HookPatch(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What is to change of a hook; its address stays.

    A new ``signingKey``, or null to have one made (generic and telegram), leaves the old one valid beside it for 24
    hours. ``basicAuth`` null asks for none any more.
    """

    signing_key: _SIGNING_KEY | UnsetType | None = UNSET
    basic_auth: _BASIC_AUTH | UnsetType | None = UNSET
    topic_arns: _TOPIC_ARNS | UnsetType = UNSET


class HookView(msgspec.Struct, rename="camel", kw_only=True):
    """A hook. ``signingKey`` is shown once, when it is made or changed."""

    id: str
    provider: Provider
    hook_key: str
    url: str
    topic_arns: list[str]
    basic_auth: Annotated[bool, Meta(description="Whether requests need Basic credentials.")]
    created_at: str
    previous_signing_key_until: str | None
    signing_key: str | UnsetType = UNSET


class HookList(msgspec.Struct):
    """A page of hooks, the newest first."""

    data: list[HookView]
    pagination: Pagination


class EventQuery(PageQuery, rename="camel"):
    """Filters of the event list, all ANDed."""

    hook_id: str | None = None
    provider: Provider | None = None
    type: EventType | None = None
    message_id: str | None = None
    matched: bool | None = None


class EventView(msgspec.Struct, rename="camel"):
    """What came in from a provider or a reader, matched to a message or parked. ``raw`` is as it was received.

    ``machine``: a program opened or followed it, no person. Of our own links that is known ten seconds after
    ``receivedAt``, until when it is a first guess; ``reason`` says what told it, and ``raw`` is what was kept.
    """

    id: str
    hook_id: str | None
    provider: str
    type: EventType
    provider_event: str
    message_id: str | None
    recipient: str | None
    at: str
    received_at: str
    bounce_type: BounceType | None
    reason: str | None
    machine: bool
    raw: str


class EventList(msgspec.Struct):
    """A page of events, the newest first."""

    data: list[EventView]
    pagination: Pagination
