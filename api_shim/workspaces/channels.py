"""The channels as a workspace finds them, in the "workspace" dialect: which can send, and which rest."""

from typing import Literal

import msgspec

from api_shim import problems
from api_shim.operations import Call, Reply
from models.store import pauses
from models.store.pauses import Rest
from models.timestamps import show
from models.vocabulary import Channel


class RestView(msgspec.Struct):
    """Until when a sender that is misconfigured is left alone, and what it said."""

    until: str
    reason: str


class ChannelView(msgspec.Struct):
    """A channel. ``configured``: messages on it are accepted; others are refused with 422.

    ``source`` is who configured it: in this version the operator alone, by ``WIREROOM_*`` in the environment.
    ``resting`` is null where it sends.
    """

    channel: Channel
    configured: bool
    source: Literal["environment"] | None
    resting: RestView | None


class ChannelList(msgspec.Struct):
    """Every channel there is."""

    data: list[ChannelView]


def _view(call: Call, channel: Channel, rest: Rest | None) -> ChannelView:
    configured = channel in call.services.channels
    return ChannelView(
        channel=channel,
        configured=configured,
        source="environment" if configured else None,
        resting=None if rest is None else RestView(until=show(rest.until), reason=rest.detail),
    )


async def list_all(call: Call) -> Reply:
    """Every channel."""
    async with call.services.database.read() as connection:
        resting = await pauses.standing(connection)
    return Reply(ChannelList(data=[_view(call, channel, resting.get(channel)) for channel in Channel]))


async def get(call: Call) -> Reply:
    """One channel, by its name."""
    name = call.path("channel")
    if name not in Channel.__members__:
        raise problems.not_found("channel")
    async with call.services.database.read() as connection:
        resting = await pauses.standing(connection)
    return Reply(_view(call, Channel(name), resting.get(Channel(name))))
