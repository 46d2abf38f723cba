"""E7's table: how a mail server misbehaves, and what must come of a mail. By hand, from RFC 5321 and the README.

A 4xx, wherever it comes, is tried again; a 5xx never is. What the server says before it knows the recipient is held
against the sender, which rests. Once the final dot is out, only an answer tells what became of a mail: without one the
attempt's end is unknown, and the mail is sent again or held, as was asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from models.vocabulary import FailureReason, Outcome, Status
from tests.faults.acts import Act
from tests.faults.experiment import Size
from tests.faults.peers import DOUBTED, RETRIED, End, spread

_AGAIN_S: Final = spread(60)
_RETRIED: Final = End(Status.QUEUED, RETRIED, again_s=_AGAIN_S)
_REFUSED_WHOLE: Final = End(Status.QUEUED, RETRIED, came=2, again_s=_AGAIN_S)
_DOUBTED: Final = End(Status.QUEUED, DOUBTED, came=2, again_s=_AGAIN_S)
_HELD: Final = End(Status.SENDING, (Outcome.UNKNOWN,), came=1, held=True)
_SENT: Final = End(Status.SENT, (Outcome.ACCEPTED,), came=1)
_UNTRIED: Final = End(Status.QUEUED)


def _bounced(reason: FailureReason, came: int = 0, *, dead: bool = False) -> End:
    return End(Status.BOUNCED, (Outcome.PERMANENT,), came, reason, suppressed=dead)


def _failed(reason: FailureReason, came: int = 0) -> End:
    return End(Status.FAILED, (Outcome.PERMANENT,), came, reason)


_DEAD: Final = _bounced(FailureReason.ADDRESS_DEAD, dead=True)


@dataclass(frozen=True)
class Bad:
    """A server that misbehaves. ``acts``: by command; ``RCPT odd``: for every second recipient, who has an ``odd`` end.

    ``CONTENT`` comes after the first line of it, ``DOT`` after the last. ``most``: messages at most, where a connection
    is kept for long.
    """

    name: str
    end: End
    acts: Mapping[str, Act] = field(default_factory=dict)
    odd: End | None = None
    url: str = "smtp+plain://127.0.0.1:{port}?connections=50"
    rests: bool = False
    hold: bool = False
    most: int = 1_000
    sizes: Sequence[Size] = tuple(Size)


def _says(**said: str) -> Mapping[str, Act]:
    return {command: Act(f"{words}\r\n".encode()) for command, words in said.items()}


_LONG: Final = (Size.MINUTES, Size.FULL)
_STARTTLS: Final = "smtp://127.0.0.1:{port}"
_LOGIN: Final = "smtp+plain://shop:secret@127.0.0.1:{port}"
_TOO_LONG: Final = Act(b"250-never\r\n" * 999 + b"250 ever\r\n")
_SILENT: Final = {"DOT": Act(wait_s=3_600)}
_SECOND: Final = {
    # In less than the 15 s that a connection and its greeting may take.
    "CONNECT": Act(b"220 x\r\n", pace_s=1.0),
    **{name: Act(pace_s=1.0) for name in ("MAIL", "RCPT", "DATA", "DOT")},
}
_CUT: Final = Act(cuts=True)
_UTF8: Final = Act(b"550-5.1.1 caf\xc3\xa9 \xff\xfe\r\n550 5.1.1 \xf0\x9f\x92\xa9 no such user\r\n")

_AT_THE_DOOR: Final = (
    Bad("421 at the banner", _RETRIED, _says(CONNECT="421 4.3.2 later"), sizes=_LONG),
    Bad("554 at the banner", _UNTRIED, _says(CONNECT="554 5.7.1 go away"), rests=True, sizes=_LONG),
    Bad("no SMTP at the banner", _RETRIED, _says(CONNECT="hello there"), sizes=_LONG),
    # Longer than we wait, which is 15 s.
    Bad("banner after 4 minutes", _RETRIED, {"CONNECT": Act(wait_s=240)}, sizes=_LONG),
    Bad("STARTTLS not offered", _UNTRIED, url=_STARTTLS, rests=True),
    Bad(
        "STARTTLS refused",
        _RETRIED,
        _says(EHLO="250-bad.test\r\n250 STARTTLS", STARTTLS="454 4.7.0 no TLS now"),
        url=_STARTTLS,
        sizes=_LONG,
    ),
    Bad(
        "certificate of nobody's",
        _UNTRIED,
        _says(EHLO="250-bad.test\r\n250 STARTTLS", STARTTLS="220 go on"),
        url=_STARTTLS,
        rests=True,
    ),
    Bad(
        "login refused",
        _UNTRIED,
        _says(EHLO="250-bad.test\r\n250 AUTH PLAIN", AUTH="535 5.7.8 wrong"),
        url=_LOGIN,
        rests=True,
        sizes=_LONG,
    ),
)
_ENVELOPE: Final = (
    Bad("451 at MAIL", _RETRIED, _says(MAIL="451 4.3.0 later"), sizes=_LONG),
    Bad("550 at MAIL", _UNTRIED, _says(MAIL="550 5.7.1 sender not allowed"), rests=True, sizes=_LONG),
    Bad("450 at RCPT", _RETRIED, _says(RCPT="450 4.2.1 greylisted")),
    Bad("421 at RCPT", _RETRIED, {"RCPT": Act(b"421 4.3.2 closing\r\n", cuts=True)}, sizes=_LONG),
    Bad("452 at RCPT", _RETRIED, _says(RCPT="452 4.2.2 mailbox full"), sizes=_LONG),
    Bad("452 at DATA", _RETRIED, _says(DATA="452 4.3.1 disk full"), sizes=_LONG),
    Bad("550 at RCPT", _DEAD, _says(RCPT="550 5.1.1 no such user")),
    Bad("550 by policy at RCPT", _bounced(FailureReason.POLICY), _says(RCPT="550 5.7.1 we want none"), sizes=_LONG),
    Bad("554 at DATA", _failed(FailureReason.REJECTED), _says(DATA="554 5.5.1 not so"), sizes=_LONG),
    Bad("every second recipient refused", _SENT, _says(**{"RCPT odd": "550 5.1.1 no such user"}), odd=_DEAD),
    Bad("garbage at MAIL", _RETRIED, _says(MAIL="what?"), sizes=_LONG),
    Bad("UTF-8 in several lines at RCPT", _DEAD, {"RCPT": _UTF8}),
    Bad("1000 lines at RCPT", _RETRIED, {"RCPT": _TOO_LONG}, sizes=_LONG),
    Bad("silence at RCPT", _RETRIED, {"RCPT": Act(wait_s=3_600)}, most=20, sizes=_LONG),
)
_CONTENT: Final = (
    # Our side of it is out: whether the dot was read, nobody can tell.
    Bad("RST in the content", End(Status.QUEUED, DOUBTED, again_s=_AGAIN_S), {"CONTENT": _CUT}),
    Bad("RST in the content, held", End(Status.SENDING, (Outcome.UNKNOWN,), held=True), {"CONTENT": _CUT}, hold=True),
    Bad("421 after the dot", _REFUSED_WHOLE, {"DOT": Act(b"421 4.3.2 closing\r\n", cuts=True)}, sizes=_LONG),
    Bad("451 after the dot", _REFUSED_WHOLE, _says(DOT="451 4.7.1 later")),
    Bad("552 after the dot", _failed(FailureReason.TOO_LARGE, 1), _says(DOT="552 5.3.4 too big")),
    Bad("552 full after the dot", _bounced(FailureReason.MAILBOX_FULL, 1), _says(DOT="552 5.2.2 full"), sizes=_LONG),
    Bad("554 after the dot", _bounced(FailureReason.POLICY, 1), _says(DOT="554 5.7.1 spam")),
    Bad("250 and cut", _SENT, {"DOT": Act(b"250 2.0.0 taken\r\n", cuts=True)}),
    Bad("taken and cut", _DOUBTED, {"DOT": _CUT}),
    Bad("taken and cut, held", _HELD, {"DOT": _CUT}, hold=True),
    Bad("garbage after the dot", _DOUBTED, {"DOT": Act(b"\xff\xfe\xfd\r\n")}, sizes=_LONG),
    Bad("1000 lines after the dot", _DOUBTED, {"DOT": _TOO_LONG}, sizes=_LONG),
    Bad("a byte a second", _SENT, _SECOND, sizes=_LONG),
    # A mail is given up after 600 s (RFC 5321, section 4.5.3.2.6): before that, nothing but waiting is right.
    Bad("silence after the dot", End(Status.SENDING, came=1), _SILENT, sizes=(Size.SHORT, Size.MINUTES), most=20),
    Bad(
        "silence after the dot, sent again",
        End(Status.SENDING, (Outcome.UNKNOWN,), came=2),
        _SILENT,
        sizes=(Size.FULL,),
        most=20,
    ),
    Bad("silence after the dot, held", _HELD, _SILENT, hold=True, sizes=(Size.FULL,), most=20),
)

ORACLE: Final = (*_AT_THE_DOOR, *_ENVELOPE, *_CONTENT)
