"""What a reader wants to get, by the link of any message that they got: read, and changed at once.

The token alone counts, as on the page: there is no cookie, and nobody signs in. A GET changes nothing.
"""

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim import opt_out, problems
from api_shim.any_site import for_any_site, preflight
from api_shim.decoding import decode
from api_shim.masking import masked
from api_shim.operations import Call, Operation, Reply
from api_shim.preference_types import (
    MOST_TOPICS,
    ChannelPreferences,
    PreferencesRequest,
    PreferencesView,
    TokenQuery,
    TopicView,
    UnsubscribeView,
)
from api_shim.reader_links import Pass, Reader, acting_pass_of, pass_of, reader_of
from api_shim.workspaces.nouns import BAD_BODY
from models.store import opt_outs, preferences
from models.store.preferences import Standing, Stop
from models.vocabulary import Channel

_TAG: Final = "Unsubscribing"
_PRIVATE: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow"}
_FORM_BYTES: Final = 4096

Wanted = Mapping[Stop, bool]
"""Whether each channel or topic is wanted."""


# --- Unsubscribing


async def look(call: Call) -> Reply:
    """What the link opts out of. Changes nothing."""
    found = _known(await pass_of(call, _token(call)))
    async with call.services.database.read() as connection:
        reader = await _reader(connection, call, found)
        there = await _standing(connection, reader)
    return Reply(_offered(reader, there), headers=_PRIVATE)


async def unsubscribe(call: Call) -> Reply:
    """Opt out, once and for all repeats. The body says nothing that the token does not (RFC 8058, section 3.2)."""
    found = _known(await acting_pass_of(call, _token(call)))
    await call.body(_FORM_BYTES)
    async with call.services.database.write() as connection:
        reader = await _reader(connection, call, found)
        await opt_outs.take(connection, reader.offer, opt_out.event_of(reader.ref, "api"))
        there = await _standing(connection, reader)
    call.services.wakeups.poke("tracker", "events")
    return Reply(_offered(reader, there), headers=_PRIVATE)


def _offered(reader: Reader, there: Standing) -> UnsubscribeView:
    offer = reader.offer
    return UnsubscribeView(
        channel=offer.channel,
        topic=offer.topic or None,
        address=masked(offer.channel, offer.address),
        unsubscribed=not there.stops.isdisjoint({(offer.channel, ""), (offer.channel, offer.topic)}),
    )


# --- Preferences


async def get(call: Call) -> Reply:
    """What the reader wants to get. Changes nothing."""
    found = _known(await pass_of(call, _token(call)))
    async with call.services.database.read() as connection:
        reader = await _reader(connection, call, found)
        view = await shown(connection, reader)
    return Reply(view, headers=_PRIVATE)


async def put(call: Call) -> Reply:
    """Change what the reader wants to get."""
    found = _known(await acting_pass_of(call, _token(call), changes=True))
    wanted = wanted_of(decode(await call.body(), PreferencesRequest))
    async with call.services.database.write() as connection:
        reader = await _reader(connection, call, found)
        await change(connection, reader, wanted)
        view = await shown(connection, reader)
    call.services.wakeups.poke("tracker", "events")
    return Reply(view, headers=_PRIVATE)


def wanted_of(request: PreferencesRequest) -> Wanted:
    """The choices by what they are about; raises Problem (400) for two about the same."""
    found: dict[Stop, bool] = {}
    for number, each in enumerate(request.channels):
        choices = [(topic.topic, topic.subscribed) for topic in each.topics]
        if each.subscribed is not None:
            choices.append(("", each.subscribed))
        for topic, subscribed in choices:
            if found.setdefault((each.channel, topic), subscribed) is not subscribed:
                raise problems.invalid("says two things about the same", f"#/channels/{number}")
    return found


async def change(connection: AsyncConnection, reader: Reader, wanted: Wanted) -> None:
    """Write what is wanted of the reader's channels and topics.

    Raises Problem (400) for a channel on which the reader has no address, and where an address would have opted out of
    more topics than are kept. Where the message's own topic or channel is stopped, the message was unsubscribed from,
    as by its button.
    """
    for channel, _ in wanted:
        if channel not in reader.digests:
            raise problems.invalid(f"the reader has no address on {channel}", "#/channels")
    if reader.only is not None and not wanted.keys() <= {reader.only}:
        raise problems.invalid("this link decides for what its message was about alone", "#/channels")
    there = await _standing(connection, reader)
    stopped = {stop for stop, subscribed in wanted.items() if not subscribed} - there.stops
    lifted = {stop for stop, subscribed in wanted.items() if subscribed} & there.stops
    if _most_topics((there.stops | stopped) - lifted) > MOST_TOPICS:
        raise problems.invalid(f"at most {MOST_TOPICS} topics of a channel", "#/channels")
    offer = reader.offer
    # The event first, as the button does: two ways at once never wait for each other in a circle.
    if not stopped.isdisjoint({(offer.channel, ""), (offer.channel, offer.topic)}):
        await opt_outs.note(connection, offer, opt_out.event_of(reader.ref, "preferences"))
    changed = {stop: subscribed for stop, subscribed in wanted.items() if not subscribed or stop in lifted}
    await preferences.change(
        connection, offer.workspace_id, changed, reader.digests, reader.addresses, message_id=offer.message_id
    )


def _most_topics(stops: Collection[Stop]) -> int:
    return max(sum(channel is each for channel, _ in stops) for each in Channel)


async def shown(connection: AsyncConnection, reader: Reader) -> PreferencesView:
    """The reader's preferences, as they may be shown to whoever has the link."""
    there = await _standing(connection, reader)
    offer = reader.offer
    written = {(offer.channel, offer.topic)}
    if reader.is_contact:
        written |= await preferences.written_about(connection, offer.workspace_id, offer.contact_id)
    return view_of(reader, there, written)


def view_of(reader: Reader, there: Standing, written: Collection[Stop]) -> PreferencesView:
    """Channels in their own order, and topics by name, of all that was written about or decided on."""
    known = {*written, *there.stops} if reader.only is None else {reader.only}
    topics = {
        channel: sorted({topic for each, topic in known if each is channel and topic})[:MOST_TOPICS]
        for channel in reader.digests
    }
    return PreferencesView(
        channels=[
            ChannelPreferences(
                channel=channel,
                address=masked(channel, reader.addresses.get(channel)),
                subscribed=(channel, "") not in there.stops,
                blocked=channel in there.dead,
                topics=[TopicView(topic, (channel, topic) not in there.stops) for topic in topics[channel]],
            )
            for channel in Channel
            if channel in reader.digests and any(each is channel for each, _ in known)
        ]
    )


# --- What both do


def _token(call: Call) -> str:
    return call.query(TokenQuery).token


def _known(found: Pass | None) -> Pass:
    if found is None:
        raise problems.not_found("link")
    return found


async def _reader(connection: AsyncConnection, call: Call, found: Pass) -> Reader:
    reader = await reader_of(connection, found, await call.services.keyring())
    if reader is None:
        raise problems.not_found("link")
    return reader


async def _standing(connection: AsyncConnection, reader: Reader) -> Standing:
    return await preferences.standing(connection, reader.offer.workspace_id, list(reader.digests.items()))


OPERATIONS: Final = (
    Operation(
        "GET",
        "/api/unsubscribe",
        for_any_site(look),
        summary="What a message's unsubscribe link opts out of; it changes nothing",
        tag=_TAG,
        scope=None,
        query=TokenQuery,
        responses={200: UnsubscribeView},
        errors=(problems.NOT_FOUND,),
    ),
    Operation(
        "POST",
        "/api/unsubscribe",
        for_any_site(unsubscribe),
        summary="Unsubscribe by the token of a message's link; the body may be empty, or the one of RFC 8058",
        tag=_TAG,
        scope=None,
        query=TokenQuery,
        responses={200: UnsubscribeView},
        errors=(
            problems.NOT_FOUND,
            problems.TIMED_OUT,
            problems.TOO_LARGE,
            problems.UNSUPPORTED_ENCODING,
            problems.TOO_MANY_REQUESTS,
        ),
    ),
    preflight("/api/unsubscribe", _TAG),
    Operation(
        "GET",
        "/api/preferences",
        for_any_site(get),
        summary="What a reader wants to get, by the token of a message's link; it changes nothing",
        tag=_TAG,
        scope=None,
        query=TokenQuery,
        responses={200: PreferencesView},
        errors=(problems.NOT_FOUND,),
    ),
    Operation(
        "PUT",
        "/api/preferences",
        for_any_site(put),
        summary="Change what a reader wants to get, at once, by the token of a message's link",
        tag=_TAG,
        scope=None,
        request=PreferencesRequest,
        query=TokenQuery,
        responses={200: PreferencesView},
        errors=(*BAD_BODY, problems.NOT_FOUND, problems.TOO_MANY_REQUESTS),
    ),
    preflight("/api/preferences", _TAG),
)
