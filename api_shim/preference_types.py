"""The JSON of what a reader wants to get."""

from typing import Annotated

import msgspec
from msgspec import Meta

from api_shim.workspaces.paging import Word
from models.vocabulary import Channel

MOST_TOPICS = 100

Token = Annotated[str, Meta(min_length=1, max_length=200)]
"""What stands behind `/u/` in the links of a message."""


class TokenQuery(msgspec.Struct):
    """``token``: what stands behind ``/u/`` in the link of a message."""

    token: Token


class UnsubscribeView(msgspec.Struct, rename="camel"):
    """What the link opts out of: a topic, null for the whole channel, at an address of which most is left out.

    ``unsubscribed``: nothing of it is sent there any more but what is essential.
    """

    channel: Channel
    topic: str | None
    address: str | None
    unsubscribed: bool


class TopicView(msgspec.Struct, rename="camel"):
    """Whether a topic is wanted; while its channel is not ``subscribed``, nothing of it is sent all the same."""

    topic: str
    subscribed: bool


class ChannelPreferences(msgspec.Struct, rename="camel"):
    """What is wanted on a channel, and the address there, of which most is left out; null where it has none to show.

    ``blocked``: nothing is sent there, whatever is wanted, since the address failed or its owner complained of spam.
    """

    channel: Channel
    address: str | None
    subscribed: bool
    blocked: bool
    topics: list[TopicView]


class PreferencesView(msgspec.Struct, rename="camel"):
    """What a reader wants to get, by channel and topic: of those that they were written on and about, or decided on."""

    channels: list[ChannelPreferences]


class TopicChoice(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Whether a topic is wanted."""

    topic: Word
    subscribed: bool


class ChannelChoice(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What is wanted on a channel; what is not named stays as it is."""

    channel: Channel
    subscribed: bool | None = None
    topics: Annotated[list[TopicChoice], Meta(max_length=MOST_TOPICS)] = []


class PreferencesRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What a reader wants from now on. Channels and topics that are not named stay as they are."""

    channels: Annotated[list[ChannelChoice], Meta(max_length=len(Channel))]
