"""The JSON of channels and of the senders on them, in the "workspace" dialect."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_shim.workspaces.paging import Name
from models.vocabulary import Channel

_URL = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2048,
        description=(
            "EMAIL: `smtp://` (STARTTLS required) or `smtps://`, user and password percent-encoded. `?connections=4` "
            "keeps to so many connections at once, 1 to 100, over all workers, but one for each worker process."
        ),
    ),
]
_FROM = Annotated[str, Meta(min_length=1, max_length=500, description="EMAIL: as in `Acme <noreply@example.org>`.")]
_DKIM_KEY = Annotated[str, Meta(min_length=1, max_length=8000, description="EMAIL: a private key in PEM.")]
_DKIM_SELECTOR = Annotated[str, Meta(min_length=1, max_length=200, description="EMAIL: the key's name in the DNS.")]
_BOUNCE_DOMAIN = Annotated[str, Meta(min_length=1, max_length=253, description="EMAIL: where bounces go.")]
_BOT_TOKEN = Annotated[str, Meta(min_length=1, max_length=200, description="TELEGRAM: as @BotFather gives it.")]
_VAPID_KEY = Annotated[
    str, Meta(min_length=1, max_length=2000, description="PUSH: a key on P-256, PEM or base64url of 32 bytes.")
]
_VAPID_SUBJECT = Annotated[str, Meta(min_length=1, max_length=500, description="PUSH: `mailto:` or `https:`.")]
_POSITION = Annotated[int, Meta(ge=0, le=1000, description="The lowest is tried first.")]
_WEIGHT = Annotated[int, Meta(ge=1, le=1000, description="Its share among senders of the same position.")]
_RATE = Annotated[
    float,
    Meta(
        ge=0.1,
        le=10_000,
        description=(
            "Messages a second by this sender, over all workers; while Redis is away each process keeps to its share. "
            "What is too many waits, and loses no try. null: no limit."
        ),
    ),
]


class SenderCredentials(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What a sender works with; never shown again. Which fields there are is the channel's affair.

    EMAIL: `smtpUrl` and `from`, and if mails are to be signed `dkimKey` and `dkimSelector`. TELEGRAM: `botToken`.
    PUSH: `vapidPrivateKey` and `vapidSubject`.
    """

    smtp_url: _URL | None = None
    sender: _FROM | None = msgspec.field(name="from", default=None)
    dkim_key: _DKIM_KEY | None = None
    dkim_selector: _DKIM_SELECTOR | None = None
    bounce_domain: _BOUNCE_DOMAIN | None = None
    bot_token: _BOT_TOKEN | None = None
    vapid_private_key: _VAPID_KEY | None = None
    vapid_subject: _VAPID_SUBJECT | None = None


class SenderRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A sender of the workspace's own on a channel: its messages go by it instead of by the operator's."""

    name: Name
    credentials: SenderCredentials
    position: _POSITION = 0
    weight: _WEIGHT = 1
    rate_per_second: _RATE | None = None
    paused: bool = False


class SenderPatch(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What is to change of a sender. `credentials` replaces all of them, and ends a rest."""

    name: Name | UnsetType = UNSET
    credentials: SenderCredentials | UnsetType = UNSET
    position: _POSITION | UnsetType = UNSET
    weight: _WEIGHT | UnsetType = UNSET
    rate_per_second: _RATE | UnsetType | None = UNSET
    paused: bool | UnsetType = UNSET


class RestView(msgspec.Struct):
    """Until when a sender that cannot work is left alone, and what it said."""

    until: str
    reason: str


class SenderHint(msgspec.Struct, rename="camel"):
    """What is shown of the credentials: enough to tell them from others. `host` is the SMTP server with its port."""

    host: str | UnsetType = UNSET
    user: str | UnsetType = UNSET
    sender: str | UnsetType = msgspec.field(name="from", default=UNSET)
    dkim_selector: str | UnsetType = UNSET
    bounce_domain: str | UnsetType = UNSET
    bot_id: str | UnsetType = UNSET
    vapid_public_key: str | UnsetType = UNSET
    vapid_subject: str | UnsetType = UNSET


class SenderView(msgspec.Struct, rename="camel"):
    """A sender. `resting` is null where it is in use; `lastError` is why it rests, or rested last, until it works.

    `ratePerSecond` is over all workers, null without a limit. `version` counts the changes of its credentials.
    """

    id: str
    channel: Channel
    name: str
    hint: SenderHint
    position: int
    weight: int
    rate_per_second: float | None
    paused: bool
    resting: RestView | None
    last_error: str | None
    version: int
    created_at: str
    updated_at: str


class ChannelView(msgspec.Struct):
    """A channel. `configured`: messages on it are accepted; others are refused with 422.

    `source` is whose sender they go by: the workspace's own where it has one that is not paused, else the operator's,
    who sets `WIREROOM_*` in the environment. On PUSH they wait for the workspace's own while that is paused: browsers
    that subscribed with its key take nobody else's messages. `resting` is null where it sends.
    """

    channel: Channel
    configured: bool
    source: Literal["environment", "workspace"] | None
    resting: RestView | None
    senders: list[SenderView]


class ChannelList(msgspec.Struct):
    """Every channel there is."""

    data: list[ChannelView]
