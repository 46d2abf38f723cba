"""The JSON of templates, campaigns, journeys, keys, hooks and their events in the "workspace" dialect."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_shim.workspaces.paging import Moment, Name, PageQuery, Pagination
from models.vocabulary import BounceType, CampaignState, EventType, Provider, Scope

TextFormat = Literal["html", "text", "markdownv2"]


class TemplateRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A template; its texts may hold ``{{name}}``. Without ``format`` the body is HTML where it begins with ``<``."""

    name: Name
    body: str
    subject: Annotated[str, Meta(max_length=1000)] | None = None
    format: TextFormat | None = None


class TemplatePatch(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What is to change of a template. A changed text is a new version; accepted messages keep theirs."""

    name: Name | UnsetType = UNSET
    body: str | UnsetType = UNSET
    subject: Annotated[str, Meta(max_length=1000)] | UnsetType | None = UNSET
    format: TextFormat | UnsetType | None = UNSET


class TemplateView(msgspec.Struct, rename="camel"):
    """A template at its current version."""

    id: str
    name: str
    version: int
    subject: str | None
    body: str | None
    format: TextFormat | None
    created_at: str
    updated_at: str


class TemplateList(msgspec.Struct):
    """A page of templates, the newest first."""

    data: list[TemplateView]
    pagination: Pagination


class NameRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A campaign or a journey: a name for people."""

    name: Name


class CampaignView(msgspec.Struct, rename="camel"):
    """A campaign."""

    id: str
    name: str
    state: CampaignState
    created_at: str


class CampaignList(msgspec.Struct):
    """A page of campaigns, the newest first."""

    data: list[CampaignView]
    pagination: Pagination


class JourneyView(msgspec.Struct, rename="camel"):
    """A journey."""

    id: str
    name: str
    created_at: str


class JourneyList(msgspec.Struct):
    """A page of journeys, the newest first."""

    data: list[JourneyView]
    pagination: Pagination


class KeyRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """An API key. Without ``scopes`` it gets every scope of the key that makes it, but ``essential``."""

    name: Name
    scopes: Annotated[list[Scope], Meta(min_length=1)] | None = None
    expires_at: Moment | None = None


class KeyView(msgspec.Struct, rename="camel", kw_only=True):
    """An API key. ``token`` is shown once, when it is made; ``hint`` is how it ends."""

    id: str
    name: str
    hint: str
    scopes: list[Scope]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    token: str | UnsetType = UNSET


class KeyList(msgspec.Struct):
    """A page of keys, the newest first."""

    data: list[KeyView]
    pagination: Pagination


class HookRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A hook under which a provider reports events. ``basicAuth`` is ``user:password``, asked of each request."""

    provider: Literal["generic"]
    signing_key: Annotated[str, Meta(max_length=100, description="`whsec_…`; made if absent.")] | None = None
    basic_auth: Annotated[str, Meta(max_length=200, pattern=r"^[^:\x00-\x1f\x7f]+:[^\x00-\x1f\x7f]+$(?!\n)")] | None = (
        None
    )
    topic_arns: list[str] = []


class HookView(msgspec.Struct, rename="camel", kw_only=True):
    """A hook. ``signingKey`` is shown once, when the hook is made."""

    id: str
    provider: Provider
    hook_key: str
    url: str
    topic_arns: list[str]
    created_at: str
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
    """What came in from a provider or a reader, matched to a message or parked. ``raw`` is as it was received."""

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
