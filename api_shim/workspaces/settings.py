"""A workspace's settings in the "workspace" dialect."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from api_shim import problems
from api_shim.audit import changing
from api_shim.operations import Call, Reply
from api_shim.text_forms import LOCALE, TIMEZONE
from channels.guard import parse_url
from models.audit import Action
from models.store import settings
from models.store.settings import WorkspaceSettings

_ORIGIN = Annotated[str, Meta(min_length=1, max_length=300)]
_LOCALE = Annotated[str, Meta(max_length=35, pattern=LOCALE)]
_TIMEZONE = Annotated[str, Meta(max_length=64, pattern=TIMEZONE)]
# The links of a message go with it. Those to unsubscribe must work for 30 days after it was sent: 15 U.S.C. 7704,
# (a)(3)(A)(ii), https://www.law.cornell.edu/uscode/text/15/7704
_DAYS = Annotated[int, Meta(ge=30, le=36_500)]
_INBOX_DAYS = Annotated[int, Meta(ge=3, le=36_500)]
_RATE = Annotated[
    float,
    Meta(
        ge=0.1,
        le=10_000,
        description=(
            "WEBHOOK messages a second to one endpoint (scheme, host and port), over all workers; while Redis is away "
            "each process keeps to its share. What is too many waits, and loses no try. null: no limit."
        ),
    ),
]


class TrackingPatch(msgspec.Struct, forbid_unknown_fields=True):
    """Whether opens and clicks are followed, for messages that do not say so themselves."""

    opens: bool | UnsetType = UNSET
    clicks: bool | UnsetType = UNSET


class TrackingView(msgspec.Struct):
    """Whether opens and clicks are followed, for messages that do not say so themselves."""

    opens: bool
    clicks: bool


class SettingsPatch(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What is to change of the settings; null clears.

    ``defaultLocale`` and ``timezone`` are those of contacts that have none. ``allowedOrigins`` are the sites, as in
    ``https://www.example.org``, whose pages may read the inbox of their visitors; they replace the former ones.
    ``retentionDays``: so long after they ended messages are kept, with their attempts, events and links; null keeps
    them for ever. ``inboxRetentionDays``: so long inbox items are kept; null keeps them as long as their messages,
    which they never outlive.
    """

    tracking: TrackingPatch | UnsetType = UNSET
    allowed_origins: Annotated[list[_ORIGIN], Meta(max_length=100)] | UnsetType = UNSET
    default_locale: _LOCALE | UnsetType | None = UNSET
    timezone: _TIMEZONE | UnsetType | None = UNSET
    retention_days: _DAYS | UnsetType | None = UNSET
    inbox_retention_days: _INBOX_DAYS | UnsetType | None = UNSET
    endpoint_rate: _RATE | UnsetType | None = UNSET


class SettingsView(msgspec.Struct, rename="camel"):
    """The settings. A change reaches every process within 5 seconds; retention within an hour.

    Unless it is changed, `retentionDays` is 90. `endpointRate`: WEBHOOK messages a second to one endpoint, over all
    workers, null without a limit.
    """

    tracking: TrackingView
    allowed_origins: list[str]
    default_locale: str | None
    timezone: str | None
    retention_days: int | None
    inbox_retention_days: int | None
    endpoint_rate: float | None


def _view(row: WorkspaceSettings) -> SettingsView:
    return SettingsView(
        tracking=TrackingView(opens=row.track_opens, clicks=row.track_clicks),
        allowed_origins=list(row.allowed_origins),
        default_locale=row.default_locale,
        timezone=row.default_timezone,
        retention_days=row.retention_days,
        inbox_retention_days=row.inbox_retention_days,
        endpoint_rate=row.endpoint_rate,
    )


def origin_of(text: str) -> str:
    """The origin as browsers write it (RFC 6454, section 6.1); raises ValueError with a reason fit to be shown."""
    url = parse_url(text)
    if url.path not in ("", "/") or url.raw_query_string or "#" in text:
        raise ValueError("an origin ends with its host or its port, as in https://www.example.org")
    return str(url.origin())


async def get(call: Call) -> Reply:
    """The settings."""
    async with call.services.database.read() as connection:
        found = await settings.get_many(connection, [call.workspace_id])
    return Reply(_view(found[call.workspace_id]))


async def patch(call: Call, request: SettingsPatch) -> Reply:
    """Change the settings: at once in this process, within 5 seconds in others."""
    changed = _changed(request)
    async with changing(call, Action.SETTINGS_CHANGE) as change:
        row = await settings.change(change.connection, call.workspace_id, lambda old: replace(old, **changed))
    (await call.services.intake()).settings.forget(call.workspace_id)
    return Reply(_view(row))


def _changed(request: SettingsPatch) -> dict[str, Any]:
    """The settings that the request gives; raises Problem (400) where a value is malformed."""
    tracking = TrackingPatch() if request.tracking is UNSET else request.tracking
    given: dict[str, Any] = {
        "track_opens": tracking.opens,
        "track_clicks": tracking.clicks,
        "allowed_origins": UNSET if request.allowed_origins is UNSET else _origins(request.allowed_origins),
        "default_locale": request.default_locale,
        "default_timezone": request.timezone,
        "retention_days": request.retention_days,
        "inbox_retention_days": request.inbox_retention_days,
        "endpoint_rate": request.endpoint_rate,
    }
    return {name: value for name, value in given.items() if value is not UNSET}


def _origins(texts: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for position, text in enumerate(texts):
        try:
            found[origin_of(text)] = None
        except ValueError as error:
            raise problems.invalid(str(error), f"#/allowedOrigins/{position}") from None
    return tuple(found)
