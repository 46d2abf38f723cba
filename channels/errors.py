"""How a send can end other than well.

SendError
├── Transient       refused for now: try again, not before ``retry_after_s`` where the peer said so
├── Permanent       refused for good, for ``reason``; ``hard`` where the address itself is dead
├── Unknown         the line broke after the irreversible byte: the peer may have accepted
├── Misconfigured   our own fault (credentials, sender address): pauses the channel, burns no try
└── NotStarted      nothing irreversible was done and no peer is to blame: given back, burns no try
    └── Limited     a limit, ours or the peer's: given back until ``retry_after_s`` have passed
"""

from enum import Enum, auto

from models.progress import Progress
from models.vocabulary import FailureReason


class Blame(Enum):
    """Of whom a send that failed tells something."""

    RECIPIENT = auto()
    """Of this recipient or this message."""
    SENDER = auto()
    """Of the sender: the line to its peer, or what the peer says before it knows the recipient."""
    OURS = auto()
    """Of our own program: neither sender nor recipient did anything wrong."""


class SendError(Exception):
    """Base. ``code`` is the peer's own (``"550 5.1.1"``, ``"503"``); ``detail`` is fit to be shown to the sender.

    ``progress``: what was got done or learnt all the same; set by whoever raises it.
    """

    def __init__(self, detail: str, *, code: str | None = None, blame: Blame = Blame.RECIPIENT) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.blame = blame
        self.progress: Progress | None = None


class Transient(SendError):
    """Refused for now."""

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        retry_after_s: float | None = None,
        blame: Blame = Blame.RECIPIENT,
    ) -> None:
        super().__init__(detail, code=code, blame=blame)
        self.retry_after_s = retry_after_s


class Permanent(SendError):
    """Refused for good. ``hard``: the recipient's address is dead (shown BOUNCED, suppressed), else FAILED.

    ``bounced``: the recipient's side refused this message for good (shown BOUNCED), though the address lives.
    """

    def __init__(
        self,
        detail: str,
        *,
        reason: FailureReason,
        code: str | None = None,
        hard: bool = False,
        bounced: bool = False,
    ) -> None:
        super().__init__(detail, code=code)
        self.reason = reason
        self.hard = hard
        self.bounced = bounced or hard


class Unknown(SendError):
    """The peer may have accepted."""


class Misconfigured(SendError):
    """Our own fault. ``summary``: what is wrong in our own words, where ``detail`` has the peer's.

    A peer may name a person: its words are not for logs, nor for what is kept of a sender or a channel.
    """

    def __init__(self, detail: str, *, code: str | None = None, summary: str | None = None) -> None:
        super().__init__(detail, code=code, blame=Blame.SENDER)
        self.summary = detail if summary is None else summary


class NotStarted(SendError):
    """Nothing irreversible was done: the worker's lease ran low, or it shuts down."""


class Limited(NotStarted):
    """A limit is reached: not before ``retry_after_s``. ``whole``: the peer refuses the sender as a whole until then.

    ``whole`` rests the sender for all workers, as Misconfigured does.
    """

    def __init__(self, detail: str, *, retry_after_s: float, whole: bool = False, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after_s = retry_after_s
        self.whole = whole
