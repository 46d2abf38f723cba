"""E8's table: how a web server misbehaves, and what must come of a webhook. By hand, from RFC 9110 and the README.

A 2xx is delivered, whatever comes behind it; a 410 is gone for good and switches the endpoint off; any other answer is
tried again, not before its ``Retry-After`` and never later than in a day. A redirect is not followed, and ends the
message where it leads inside. Without an answer the end is unknown once the request was sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from models.vocabulary import FailureReason, Outcome, Status
from tests.faults.acts import Act
from tests.faults.experiment import Size
from tests.faults.peers import DOUBTED, RETRIED, End, spread

_AGAIN_S: Final = spread(300)
_DELIVERED: Final = End(Status.DELIVERED, (Outcome.ACCEPTED,), came=1)
_RETRIED: Final = End(Status.QUEUED, RETRIED, came=2, again_s=_AGAIN_S)
_UNREACHED: Final = End(Status.QUEUED, RETRIED, again_s=_AGAIN_S)
_DOUBTED: Final = End(Status.QUEUED, DOUBTED, came=2, again_s=_AGAIN_S)
_INSIDE: Final = FailureReason.FORBIDDEN_DESTINATION
_LED_INSIDE: Final = End(Status.FAILED, (Outcome.PERMANENT,), 1, _INSIDE)
_IS_INSIDE: Final = End(Status.FAILED, (Outcome.PERMANENT,), 0, _INSIDE)
_LED_ASTRAY: Final = End(Status.FAILED, (Outcome.TRANSIENT, Outcome.PERMANENT), 1, _INSIDE)
_GONE: Final = FailureReason.ENDPOINT_GONE
_LONG: Final = (Size.MINUTES, Size.FULL)

CANARY: Final = b"{canary}"
"""An address that the guard refuses, and where somebody listens."""
ELSEWHERE: Final = b"{elsewhere}"
"""One that it allows, and where nothing was sent to."""
SOON: Final = b"{soon}"
"""A date, two minutes from when it is said."""

CLOSED: Final = b"{closed}"
"""An address where nobody listens."""
BOMB: Final = b"{bomb}"
"""60 MB of nothing in 60 kB, by gzip."""


@dataclass(frozen=True)
class Bad:
    """A server that misbehaves. ``certificate``: the kind that it shows, by https; none by http.

    ``apart``: each message goes to a port of its own, since an endpoint that hangs is asked one at a time. ``url``: of
    an endpoint where no server of ours is. ``zone``: its host has a name there, another one for each message.
    """

    name: str
    end: End
    act: Act = field(default_factory=Act)
    certificate: str = ""
    apart: bool = False
    url: str = ""
    zone: str = ""
    sizes: Sequence[Size] = tuple(Size)


def _answer(first: str, *fields: str, pace_s: float = 0.0) -> Act:
    head = "\r\n".join([f"HTTP/1.1 {first}", *(fields or ["Content-Length: 0"]), "", ""])
    return Act(head.encode("latin-1"), pace_s=pace_s)


def _asking(status: str, value: str) -> Act:
    return _answer(status, f"Retry-After: {value}", "Content-Length: 0")


def _leading(status: int, to: str) -> Act:
    return _answer(f"{status} Elsewhere", f"Location: {to}", "Content-Length: 0")


def _asked(least_s: float, most_s: float) -> End:
    return End(Status.QUEUED, (Outcome.TRANSIENT,), came=1, again_s=(least_s, most_s))


_METADATA: Final = "http://169.254.169.254/latest/meta-data/"
_TO_CANARY: Final = f"http://{CANARY.decode()}/"
_ENDLESS: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n"
_SLOW: Final = Act(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", trickle=3_600)

_ANSWERS: Final = (
    Bad("204", _DELIVERED, _answer("204 No Content", "Server: x")),
    Bad("400", _RETRIED, _answer("400 Bad Request"), sizes=_LONG),
    Bad("404", _RETRIED, _answer("404 Not Found"), sizes=_LONG),
    Bad("410", End(Status.BOUNCED, (Outcome.PERMANENT,), 1, _GONE, suppressed=True, told=True), _answer("410 Gone")),
    Bad("500", _RETRIED, _answer("500 Broken")),
    Bad("429 in 2 minutes", _asked(120, 120), _asking("429 Slow", "120"), sizes=_LONG),
    Bad("429 by a date", _asked(118, 120), _asking("429 Slow", SOON.decode())),
    Bad("429 garbage", _RETRIED, _asking("429 Slow", "in a while \xff"), sizes=_LONG),
    Bad("429 in 10 years", _asked(86_400, 86_400), _asking("429 Slow", "315360000")),
    Bad("503 in 2 minutes", _asked(120, 120), _asking("503 Down", "120"), sizes=_LONG),
    Bad("301 inside", _LED_INSIDE, _leading(301, _METADATA), sizes=_LONG),
    Bad("302 inside", _LED_INSIDE, _leading(302, _METADATA)),
    Bad("307 inside", _LED_INSIDE, _leading(307, _METADATA), sizes=_LONG),
    Bad("308 inside", _LED_INSIDE, _leading(308, _METADATA), sizes=_LONG),
    Bad("302 to the canary", _LED_INSIDE, _leading(302, _TO_CANARY), sizes=_LONG),
    Bad("307 to the canary", _LED_INSIDE, _leading(307, _TO_CANARY)),
    Bad("308 elsewhere", _RETRIED, _leading(308, f"http://{ELSEWHERE.decode()}/")),
)
_WIRE: Final = (
    Bad("10 GB of body", _DELIVERED, Act(_ENDLESS, filler=10 << 30)),
    Bad("gzip bomb", _DELIVERED, Act(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + BOMB, cuts=True)),
    Bad("HTTP/1.0", _DELIVERED, Act(b"HTTP/1.0 200 OK\r\n\r\nthanks", cuts=True), sizes=_LONG),
    Bad("no HTTP", _DOUBTED, Act(b"220 mail.test\r\n"), sizes=_LONG),
    Bad("1xx without end", _DOUBTED, Act(b"HTTP/1.1 100 Continue\r\n\r\n" * 100), sizes=_LONG),
    Bad("head without end", _DOUBTED, Act(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 100_000), sizes=_LONG),
    Bad("RST", _DOUBTED, Act(cuts=True)),
    Bad("hang", _DOUBTED, Act(wait_s=3_600), apart=True, sizes=_LONG),
    Bad("a byte a second of head", _DOUBTED, _answer("200 OK", pace_s=1.0), apart=True, sizes=_LONG),
    Bad("a byte a second of body", _DELIVERED, _SLOW, apart=True, sizes=_LONG),
)
_WAY: Final = (
    Bad("good certificate", _DELIVERED, _answer("200 OK"), certificate="good"),
    Bad("certificate expired", _UNREACHED, certificate="expired"),
    Bad("certificate of another host's", _UNREACHED, certificate="other", sizes=_LONG),
    Bad("certificate of nobody's", _UNREACHED, certificate="nobody", sizes=_LONG),
    Bad("no such name", _UNREACHED, url="https://nowhere.invalid/in", sizes=_LONG),
    Bad("nobody listens", _UNREACHED, url=f"http://{CLOSED.decode()}/in", sizes=_LONG),
    Bad("endpoint inside", _IS_INSIDE, url="http://169.254.169.254/in", sizes=_LONG),
    Bad("endpoint at the canary", _IS_INSIDE, url=_TO_CANARY + "in"),
)

_NAMES: Final = (
    Bad("SERVFAIL", _UNREACHED, zone="servfail"),
    Bad("NXDOMAIN", _UNREACHED, zone="nowhere", sizes=_LONG),
    Bad("no answer to the name", _UNREACHED, zone="silent", sizes=_LONG),
    # Who looks a name up once to check it and once more to dial it reaches the canary.
    Bad("another address at the second look", _DELIVERED, _answer("200 OK"), zone="rebinding"),
    # Later than an address is remembered.
    Bad("another address at the second try", _LED_ASTRAY, _asking("503 Down", "15"), zone="moved", sizes=_LONG),
    Bad("name inside", _IS_INSIDE, zone="inside", sizes=_LONG),
    Bad("one of two addresses inside", _IS_INSIDE, zone="mixed", sizes=_LONG),
    Bad("alias inside", _IS_INSIDE, zone="alias", sizes=_LONG),
    Bad("AAAA alone, inside", _IS_INSIDE, zone="six", sizes=_LONG),
)
"""What takes a name server of our own."""

ORACLE: Final = (*_ANSWERS, *_WIRE, *_WAY, *_NAMES)
