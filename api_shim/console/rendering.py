"""Pages of HTML made of templates. Every value in them is escaped (Jinja's autoescape, for every template)."""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import msgspec

from api_shim.console.words import plain, spaced
from api_shim.replies import Reply

if TYPE_CHECKING:
    from jinja2 import Environment

HTML: Final = "text/html; charset=utf-8"
_PACKAGE: Final = "api_shim.console"
_MEDIA: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_SECOND: Final = 1000
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z", re.ASCII)
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))

_POLICY: Final = "Content-Security-Policy"
_OF_MAILS: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'"
)

# Forms are sent with Referrer-Policy "same-origin", else browsers would give their Origin as null.
GUARDED: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    _POLICY: "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}


class File:
    """A file that pages load, as it lies in the package."""

    def __init__(self, content: bytes, media_type: str) -> None:
        self.content = content
        self.media_type = media_type


@cache
def files() -> Mapping[str, File]:
    """Every file that pages load, by its name."""
    folder = resources.files(_PACKAGE).joinpath("static")
    return {
        each.name: File(each.read_bytes(), _MEDIA[each.name.rpartition(".")[2]])
        for each in sorted(folder.iterdir(), key=lambda each: each.name)
    }


def render(template: str, values: Mapping[str, Any], status: int = 200, *, frames: bool = False) -> Reply:
    """A page, which may show our own pages in a frame; raises jinja2.TemplateError for a template that is wrong."""
    html = _environment().get_template(template).render(values)
    headers = dict(GUARDED)
    if frames:
        headers[_POLICY] += "; frame-src 'self'"
    return Reply(html.encode(), status, headers, HTML)


def framed_mail(html: str) -> Reply:
    """The HTML of a mail for a frame of ours: nothing in it runs, loads, or is sent, and it is of no origin."""
    return Reply(html.encode(), 200, {**GUARDED, "X-Frame-Options": "SAMEORIGIN", _POLICY: _OF_MAILS}, HTML)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - most processes show no page

    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": moment,
        "moments": moments,
        "number": number,
        "duration": duration,
        "plain": plain,
        "spaced": spaced,
        "pretty": pretty,
        "share": share,
    }
    environment.globals["version"] = _version()
    return environment


def _version() -> str:
    """Changes with any file that pages load, so that browsers may keep these for ever."""
    return hashlib.sha256(b"".join(each.content for each in files().values())).hexdigest()[:12]


def moment(shown: str) -> str:
    """A time of the API (RFC 3339, UTC) to the second, as people read it in a table."""
    return f"{shown[:10]} {shown[11:19]}"


def moments(sentence: str) -> str:
    """A sentence of the API with its times as ``moment`` shows them."""
    return _TIME.sub(lambda found: moment(found[0]), sentence)


def number(value: int) -> str:
    """A number with its thousands set apart."""
    return f"{value:,}"


def pretty(value: Any) -> str:
    """A value as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value)).decode()


def share(part: float) -> str:
    """A part of something, from 0 to 1, in percent."""
    return f"{part:.1%}"


def duration(milliseconds: int) -> str:
    """How long something takes, in its two largest units: ``2 h 5 min``."""
    seconds = milliseconds // _SECOND
    for place, (size, unit) in enumerate(_UNITS):
        if seconds >= size:
            rest = (seconds % size) // _UNITS[place + 1][0] if place + 1 < len(_UNITS) else 0
            return f"{seconds // size} {unit}" + (f" {rest} {_UNITS[place + 1][1]}" if rest else "")
    return "0 s"
