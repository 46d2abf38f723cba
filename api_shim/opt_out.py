"""The reader's way out: the page that a message's link leads to, and the one click of a mail program (RFC 8058).

The token alone counts: there is no cookie, nobody signs in, nothing redirects. A GET changes nothing, since whoever
scans mails follows every link in them.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from api_shim import problems
from api_shim.masking import masked
from api_shim.operations import Call, Operation, Reply
from api_shim.reader_links import acting_pass_of, pass_of
from models.events import ParsedEvent
from models.store import opt_outs
from models.store.opt_outs import Offer
from models.tokens import Ref
from models.vocabulary import Channel, EventType

_TAG: Final = "Unsubscribing"
HTML: Final = "text/html; charset=utf-8"
_MOST_BYTES: Final = 4096

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fff; --ground: #f2f3f5; --soft: #5b626b; --line: #d9dce1 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #eceef1; --paper: #1d2126; --ground: #121518; --soft: #a3abb5; --line: #343a42 }
}
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  font: 1.0625rem/1.55 system-ui, sans-serif; color: var(--ink); background: var(--ground) }
main { width: 100%; max-width: 27rem; padding: 2rem 1.75rem; border: 1px solid var(--line); border-radius: .75rem;
  background: var(--paper) }
h1 { margin: 0 0 .75rem; font-size: 1.375rem; line-height: 1.25 }
p { margin: 0; overflow-wrap: anywhere } form + p { color: var(--soft) }
button { width: 100%; min-height: 3rem; padding: .6rem 1rem; border: 0; border-radius: .5rem; cursor: pointer;
  font: inherit; font-weight: 600; color: var(--paper); background: var(--ink) }
button:focus-visible { outline: 3px solid Highlight; outline-offset: 2px }
form { margin: 1.25rem 0 } p + p { margin-top: 1rem } a { color: inherit }
a:focus-visible, input:focus-visible { outline: 3px solid Highlight; outline-offset: 2px }
fieldset { margin: 0 0 1.25rem; padding: 0; border: 0; min-width: 0 } legend { padding: 0; overflow-wrap: anywhere }
label { display: flex; gap: .75rem; align-items: center; min-height: 2.75rem; overflow-wrap: anywhere }
label span { min-width: 0 } label.topic { margin-left: 2rem }
input { flex: none; width: 1.25rem; height: 1.25rem; margin: 0; accent-color: var(--ink) }
legend, label.topic, small { color: var(--soft) } small { display: block; font-size: .9375rem }
[role=status] { padding: .6rem .9rem; border-radius: .5rem; background: var(--ground) }
"""
_STYLE_HASH: Final = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_GUARDED: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}

MESSAGES: Final[Mapping[Channel, str]] = {
    Channel.EMAIL: "e-mail",
    Channel.PUSH: "push messages",
    Channel.TELEGRAM: "Telegram messages",
    Channel.ONSITE: "in-app messages",
    Channel.WEBHOOK: "webhook calls",
}


class OneClick(msgspec.Struct, rename={"list_unsubscribe": "List-Unsubscribe"}):
    """What a mail program posts (RFC 8058, section 3.2)."""

    list_unsubscribe: Literal["One-Click"]


async def page(call: Call) -> Reply:
    """The page with its one button. Changes nothing."""
    found = await pass_of(call, call.path("token"))
    if found is None:
        return no_such_link()
    async with call.services.database.read() as connection:
        offer = await opt_outs.find(connection, found.ref.message_id)
    if offer is None:
        return no_such_link()
    return html_page(
        "Unsubscribe",
        f"<p>Stop {_what(offer)}{_to(offer)}?</p>"
        '<form method="post"><button name="unsubscribe" value="yes">Unsubscribe</button></form>'
        "<p>It takes effect at once. What you need to know of your own orders and account may still come.</p>"
        + (_more(call, "Choose what you get") if found.is_whole else ""),
    )


async def act(call: Call) -> Reply:
    """Opt out, once and for all repeats: with one commit the next send is refused; the tracker does the rest."""
    found = await acting_pass_of(call, call.path("token"))
    raw = await call.body(_MOST_BYTES)
    if found is None:
        return no_such_link()
    ref = found.ref
    one_click = b"One-Click" in raw  # urlencoded or multipart (RFC 8058, section 3.2)
    async with call.services.database.write() as connection:
        offer = await opt_outs.find(connection, ref.message_id)
        if offer is not None:
            await opt_outs.take(connection, offer, event_of(ref, "one-click" if one_click else "page"))
    if offer is None:
        return no_such_link()
    call.services.wakeups.poke("tracker", "events")
    if one_click:
        return Reply(b"", headers=_GUARDED, media_type=HTML)
    said = f"<p>There will be no more {_what(offer)}{_to(offer)}.</p>"
    words = "Change your mind, or choose what else you get" if found.is_whole else "Change your mind"
    return html_page("You are unsubscribed", said + _more(call, words))


def _more(call: Call, words: str) -> str:
    return f'<p><a href="{quote(call.path("token"))}/preferences">{words}</a></p>'


def event_of(ref: Ref, said: str) -> ParsedEvent:
    """The event that a message was unsubscribed from; ``said``: how."""
    return ParsedEvent(
        type=EventType.UNSUBSCRIBED,
        provider_event=said,
        dedupe=hashlib.sha256(f"opt-out|{ref.message_id}|{ref.run}".encode()).digest(),
        raw=b"",
        at=None,
        message_ref=ref.message_id,
        run=ref.run,
    )


def _what(offer: Offer) -> str:
    topic = f" about <b>{escape(offer.topic)}</b>" if offer.topic else " from this sender"
    return f"{MESSAGES[offer.channel]}{topic}"


def _to(offer: Offer) -> str:
    """Where it goes, so that its owner knows it, and whoever else has the link does not."""
    shown = masked(offer.channel, offer.address)
    return "" if shown is None else f" to <b>{escape(shown)}</b>"


def no_such_link() -> Reply:
    """What is shown for a link that is none of ours, or whose message is gone."""
    said = "It is not complete, or its message is kept no longer. Open it again from the message, or ask its sender."
    return html_page("This link does not work", f"<p>{said}</p>", 404)


def gone() -> Reply:
    """What is shown for a link of ours whose message is kept no longer."""
    return html_page("This link has ended", "<p>Its message is kept no longer. Ask its sender for a new one.</p>", 410)


def html_page(title: str, body: str, status: int = 200) -> Reply:
    """A page for readers; ``body`` is HTML."""
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>"
    )
    return Reply(html.encode(), status, _GUARDED, HTML)


OPERATIONS: Final = (
    Operation(
        "GET",
        "/u/{token}",
        page,
        summary="The page behind a message's unsubscribe link; it changes nothing",
        tag=_TAG,
        scope=None,
        responses={200: str, 404: str},
        response_media=HTML,
    ),
    Operation(
        "POST",
        "/u/{token}",
        act,
        summary="Unsubscribe, as the page's button and the one click of mail programs do (RFC 8058)",
        tag=_TAG,
        scope=None,
        request=OneClick,
        request_media=("application/x-www-form-urlencoded", "multipart/form-data"),
        responses={200: str, 404: str},
        response_media=HTML,
        errors=(problems.TIMED_OUT, problems.TOO_LARGE, problems.UNSUPPORTED_ENCODING, problems.TOO_MANY_REQUESTS),
    ),
)
