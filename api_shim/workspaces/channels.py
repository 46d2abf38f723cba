"""The channels as a workspace finds them, in the "workspace" dialect: which can send, by whom, and which rest."""

from collections.abc import Sequence

from api_shim.operations import Call, Reply
from api_shim.workspaces.sender_types import ChannelList, ChannelView, RestView
from api_shim.workspaces.senders import channel_in, resting_of, view_of
from models.store import clock, pauses, senders
from models.store.pauses import Rest
from models.store.senders import SenderRow
from models.timestamps import show
from models.vocabulary import Channel


def _view(call: Call, channel: Channel, rest: Rest | None, own: Sequence[SenderRow], now: int) -> ChannelView:
    of_operator = channel in call.services.channels
    used = [row for row in own if not row.paused]
    resting = None if rest is None else RestView(until=show(rest.until), reason=rest.detail)
    if used:
        rests = [resting_of(row, now) for row in used]
        # In use as long as one of them is; else from when the first comes back.
        resting = None if None in rests else min((each for each in rests if each), key=lambda each: each.until)
    return ChannelView(
        channel=channel,
        configured=of_operator or bool(used),
        source="workspace" if used or (own and channel is Channel.PUSH) else "environment" if of_operator else None,
        resting=resting,
        senders=[view_of(row, now) for row in own],
    )


async def list_all(call: Call) -> Reply:
    """Every channel."""
    async with call.services.database.read() as connection:
        now = await clock.read(connection)
        resting = await pauses.standing(connection)
        own = await senders.of_workspace(connection, call.workspace_id)
    views = [
        _view(call, channel, resting.get(channel), [row for row in own if row.channel is channel], now)
        for channel in Channel
    ]
    return Reply(ChannelList(data=views))


async def get(call: Call) -> Reply:
    """One channel, by its name."""
    channel = channel_in(call)
    async with call.services.database.read() as connection:
        now = await clock.read(connection)
        resting = await pauses.standing(connection)
        own = await senders.of_channel(connection, call.workspace_id, channel)
    return Reply(_view(call, channel, resting.get(channel), own, now))
