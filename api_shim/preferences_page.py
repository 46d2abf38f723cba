"""What a reader wants to get, as a page: a box for each channel and topic, and one button. It needs no script.

A box that is not ticked is not sent, so the form names what it shows: a topic that came up meanwhile stays as it is.
"""

from collections.abc import Iterator
from html import escape
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from api_shim import preferences, problems
from api_shim.decoding import decode
from api_shim.operations import Call, Operation, Reply
from api_shim.opt_out import HTML, MESSAGES, html_page, no_such_link
from api_shim.preference_types import ChannelPreferences, PreferencesRequest, PreferencesView
from api_shim.reader_links import acting_pass_of, pass_of, reader_of
from models.store.preferences import Stop

_TAG: Final = "Unsubscribing"
_PATH: Final = "/u/{token}/preferences"
_MOST_FIELDS: Final = 2000
_ON: Final = "on"
_SHOWN: Final = "shown"
_SAVED: Final = '<p role="status">Saved. It holds from now on.</p>'


class PreferencesForm(msgspec.Struct):
    """The page's form: ``shown`` names each box, ``on`` those that are ticked, as ``EMAIL`` or ``EMAIL:topic``."""

    shown: list[str]
    on: list[str] = []


async def page(call: Call) -> Reply:
    """The page. Changes nothing."""
    found = await pass_of(call, call.path("token"))
    if found is None:
        return no_such_link()
    async with call.services.database.read() as connection:
        reader = await reader_of(connection, found, await call.services.keyring())
        view = None if reader is None else await preferences.shown(connection, reader)
    return no_such_link() if reader is None or view is None else page_of(view, only=reader.only)


async def save(call: Call) -> Reply:
    """Change what the reader wants to get, and show it."""
    found = await acting_pass_of(call, call.path("token"), changes=True)
    raw = await call.body()
    if found is None:
        return no_such_link()
    wanted = preferences.wanted_of(read_form(raw))
    async with call.services.database.write() as connection:
        reader = await reader_of(connection, found, await call.services.keyring())
        if reader is None:
            return no_such_link()
        await preferences.change(connection, reader, wanted)
        view = await preferences.shown(connection, reader)
    call.services.wakeups.poke("tracker", "events")
    return page_of(view, _SAVED, only=reader.only)


def read_form(raw: bytes) -> PreferencesRequest:
    """The form as what it means; raises Problem (400)."""
    try:
        fields = parse_qs(raw.decode(), keep_blank_values=True, strict_parsing=bool(raw), max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise problems.invalid("is no form", "#") from None
    ticked = set(fields.get(_ON, ()))
    channels: dict[str, dict[str, Any]] = {}
    for name in fields.get(_SHOWN, ()):
        channel, colon, topic = name.partition(":")
        choice = channels.setdefault(channel, {"channel": channel, "topics": []})
        if colon:
            choice["topics"].append({"topic": topic, "subscribed": name in ticked})
        else:
            choice["subscribed"] = name in ticked
    return decode(msgspec.json.encode({"channels": list(channels.values())}), PreferencesRequest)


def page_of(view: PreferencesView, said: str = "", *, only: Stop | None = None) -> Reply:
    """The page that shows these; ``said``: HTML above them; ``only``: what alone may be decided."""
    has_channels = only is None or not only[1]
    groups = "".join("".join(_group(channel, has_channels=has_channels)) for channel in view.channels)
    return html_page(
        "What you get",
        f"{said}<p>Untick what you do not want.</p>"
        f'<form method="post">{groups}<button>Save</button></form>'
        "<p>What you need to know of your own orders and account may still come.</p>",
    )


def _group(channel: ChannelPreferences, *, has_channels: bool) -> Iterator[str]:
    name = MESSAGES[channel.channel]
    name = name[:1].upper() + name[1:]
    if channel.address is None:
        yield f'<fieldset aria-label="{name}">'
    else:
        yield f"<fieldset><legend>{escape(channel.address)}</legend>"
    if has_channels:
        yield _box(channel.channel.value, name, "", ticked=channel.subscribed)
    kind = ' class="topic"' if has_channels else ""
    for topic in channel.topics:
        yield _box(f"{channel.channel}:{topic.topic}", topic.topic, kind, ticked=topic.subscribed)
    if channel.blocked:
        yield "<small>Nothing is sent there now: messages came back, or were called spam. Ask their sender.</small>"
    elif not channel.subscribed and channel.topics:
        yield f"<small>While {name} is off, none of its topics is sent.</small>"
    yield "</fieldset>"


def _box(value: str, words: str, kind: str, *, ticked: bool) -> str:
    named = escape(value)
    return (
        f'<input type="hidden" name="{_SHOWN}" value="{named}"><label{kind}><input type="checkbox" name="{_ON}" '
        f'value="{named}"{" checked" if ticked else ""}><span>{escape(words)}</span></label>'
    )


OPERATIONS: Final = (
    Operation(
        "GET",
        _PATH,
        page,
        summary="The page on which a reader chooses what to get; it changes nothing",
        tag=_TAG,
        scope=None,
        responses={200: str, 404: str},
        response_media=HTML,
    ),
    Operation(
        "POST",
        _PATH,
        save,
        summary="Change what a reader wants to get, as the page's button does",
        tag=_TAG,
        scope=None,
        request=PreferencesForm,
        request_media=("application/x-www-form-urlencoded",),
        responses={200: str, 404: str},
        response_media=HTML,
        errors=(
            problems.INVALID_BODY,
            problems.TIMED_OUT,
            problems.TOO_LARGE,
            problems.UNSUPPORTED_ENCODING,
            problems.TOO_MANY_REQUESTS,
        ),
    ),
)
