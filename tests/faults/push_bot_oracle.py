"""E9's tables: how push services and the Bot API refuse, and what must come of it.

By hand, from RFC 8030, RFC 8292, what Telegram documents, and the README.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from models.vocabulary import FailureReason, Outcome, Status
from tests.faults.experiment import Size
from tests.faults.peers import DOUBTED, RETRIED, End, spread

_AGAIN_S: Final = spread(30)
_LONG: Final = (Size.MINUTES, Size.FULL)
_HELD: Final = End(Status.SENDING, (Outcome.UNKNOWN,), came=1, held=True)
_PUT_OFF: Final = End(Status.QUEUED, came=None)
"""It is the sender's fault: no try is burnt, and the sender rests."""


@dataclass(frozen=True)
class BadService:
    """A push service, or several. ``answers``: one for each browser of a contact.

    ``own``: the workspace has a key of its own. ``apart``: each message goes to a port of its own.
    """

    name: str
    end: End
    answers: Sequence["Said"]
    own: bool = False
    hold: bool = False
    apart: bool = False
    sizes: Sequence[Size] = tuple(Size)


@dataclass(frozen=True)
class Said:
    """``status`` 0: the service looks for itself what it is to answer, and takes it."""

    status: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    cuts: bool = False


def _left(browsers: int, status: Status, *attempts: Outcome, came: int, reason: FailureReason | None = None) -> End:
    return End(status, attempts, came, reason, browsers=browsers)


def _retried(*, browsers: int = 1, came: int = 2) -> End:
    return End(Status.QUEUED, RETRIED, came=came, again_s=_AGAIN_S, browsers=browsers)


def _status(status: int) -> Sequence[Said]:
    return (Said(status),)


_ACCEPTED: Final = Outcome.ACCEPTED
_DEAD: Final = FailureReason.ADDRESS_DEAD
_LATER: Final = {"Retry-After": "120"}
_ASKED: Final = End(Status.QUEUED, (Outcome.TRANSIENT,), came=1, again_s=(120, 120), browsers=1)
_GONE: Final = _left(0, Status.BOUNCED, Outcome.PERMANENT, came=1, reason=_DEAD)
_BOTH_GONE: Final = _left(0, Status.BOUNCED, Outcome.PERMANENT, came=2, reason=_DEAD)
_TOO_LARGE: Final = _left(1, Status.FAILED, Outcome.PERMANENT, came=1, reason=FailureReason.TOO_LARGE)
_DOUBTED: Final = End(Status.QUEUED, DOUBTED, came=2, again_s=_AGAIN_S, browsers=1)
_TAKEN: Final = Said()

PUSH: Final = (
    BadService("push 201", _left(1, Status.SENT, _ACCEPTED, came=1), (_TAKEN,)),
    BadService("push 301", _retried(), (Said(301, {"Location": "http://169.254.169.254/"}),), sizes=_LONG),
    # Others take our signature: it is about this subscription, and stops nobody else's.
    BadService("push 400", _retried(), _status(400), sizes=_LONG),
    BadService("push 401", _retried(), _status(401), sizes=_LONG),
    BadService("push 403", _retried(), _status(403)),
    BadService("push 403 to all", _PUT_OFF, _status(403), own=True),
    BadService("push 404", _GONE, _status(404)),
    BadService("push 406", _retried(), _status(406), sizes=_LONG),
    BadService("push 410", _GONE, _status(410)),
    BadService("push 413", _TOO_LARGE, _status(413)),
    BadService("push 429", _retried(), _status(429), sizes=_LONG),
    BadService("push 429 in 2 minutes", _ASKED, (Said(429, _LATER),)),
    BadService("push 500", _retried(), _status(500)),
    BadService("push 502", _retried(), _status(502), sizes=_LONG),
    BadService("push 503 in 2 minutes", _ASKED, (Said(503, _LATER),), sizes=_LONG),
    BadService("push hangs", _DOUBTED, (Said(hangs=True),), apart=True, sizes=_LONG),
    BadService("push cut", _DOUBTED, (Said(cuts=True),), sizes=_LONG),
    BadService("push cut, held", _HELD, (Said(cuts=True),), hold=True),
    BadService("push 201 and 410", _left(1, Status.SENT, _ACCEPTED, came=2), (_TAKEN, Said(410))),
    BadService("push 201 and 403", _left(2, Status.SENT, _ACCEPTED, came=2), (_TAKEN, Said(403)), sizes=_LONG),
    # Only the other browser is tried again.
    BadService("push 201 and 500", _retried(browsers=2, came=3), (_TAKEN, Said(500))),
    BadService("push 404 and 410", _BOTH_GONE, (Said(404), Said(410)), sizes=_LONG),
)


@dataclass(frozen=True)
class BadBot:
    """How the Bot API answers one bot. ``status`` 0: it takes the message. ``cuts`` and ``silent`` come after that.

    ``moves``: the chat has another id by now. ``most``: messages at most, where each keeps a connection for long.
    """

    name: str
    end: End
    status: int = 0
    words: str = ""
    retry_after: int = 0
    once: bool = False
    moves: bool = False
    cuts: bool = False
    silent: bool = False
    known: bool = True
    hold: bool = False
    rests: bool = False
    most: int = 1_000
    sizes: Sequence[Size] = tuple(Size)


def _failed(reason: FailureReason) -> End:
    return End(Status.FAILED, (Outcome.PERMANENT,), 1, reason)


def _bounced(reason: FailureReason) -> End:
    return End(Status.BOUNCED, (Outcome.PERMANENT,), 1, reason, suppressed=True)


_FLOOD: Final = "Too Many Requests: retry after 120"
_RETRIED: Final = End(Status.QUEUED, RETRIED, came=2, again_s=_AGAIN_S)
# A gateway that gave up, or a server that broke, may have posted the message before.
_POSTED: Final = End(Status.QUEUED, DOUBTED, came=2, again_s=_AGAIN_S)
_SENT: Final = End(Status.SENT, (Outcome.ACCEPTED,), came=1)
_SENT_AT_LAST: Final = End(Status.SENT, (Outcome.ACCEPTED,), came=2)
_BLOCKED: Final = _bounced(FailureReason.BLOCKED)

BOT: Final = (
    BadBot("bot takes it", _SENT),
    BadBot("bot 400 no chat", _BLOCKED, 400, "Bad Request: chat not found", sizes=_LONG),
    BadBot("bot 400 too long", _failed(FailureReason.TOO_LARGE), 400, "Bad Request: message is too long", sizes=_LONG),
    BadBot("bot 400 markup", _failed(FailureReason.RENDER_ERROR), 400, "Bad Request: can't parse entities: no"),
    BadBot("bot 400 what else", _failed(FailureReason.REJECTED), 400, "Bad Request: it is Monday", sizes=_LONG),
    BadBot("bot 401", _PUT_OFF, known=False, rests=True, sizes=_LONG),
    BadBot("bot 403 blocked", _BLOCKED, 403, "Forbidden: bot was blocked by the user"),
    BadBot("bot 403 dead", _bounced(_DEAD), 403, "Forbidden: user is deactivated", sizes=_LONG),
    BadBot("bot 403 rights", _failed(FailureReason.POLICY), 403, "Forbidden: not enough rights to send", sizes=_LONG),
    BadBot("bot 429", _PUT_OFF, 429, _FLOOD, retry_after=120, rests=True),
    BadBot("bot 429 once", _SENT_AT_LAST, 429, _FLOOD, retry_after=1, once=True, sizes=_LONG),
    BadBot("bot 500", _POSTED, 500, "Internal Server Error", sizes=_LONG),
    BadBot("bot 502", _POSTED, 502, "Bad Gateway"),
    BadBot("bot 502, held", _HELD, 502, "Bad Gateway", hold=True),
    BadBot("bot 503", _RETRIED, 503, "Service Unavailable", sizes=_LONG),
    BadBot("bot cuts", _POSTED, cuts=True, sizes=_LONG),
    BadBot("bot cuts, held", _HELD, cuts=True, hold=True, sizes=_LONG),
    BadBot("bot is silent", _POSTED, silent=True, most=10, sizes=_LONG),
    BadBot("bot's chat moved", _SENT_AT_LAST, 400, "Bad Request: group chat was upgraded", moves=True),
)
