"""The JSON of what holds a message, and of the problem that says how a message ended."""

import msgspec

from api_shim.problems import ProblemBody
from api_shim.workspaces.types import MessageView
from models.faults import Fault
from models.vocabulary import FailureReason, Outcome, Status
from models.why import Gate


class LastErrorView(msgspec.Struct, rename="camel", kw_only=True):
    """How the last attempt ended, where it did not succeed."""

    at: str
    outcome: Outcome
    code: str | None
    detail: str | None


class WhyView(msgspec.Struct, rename="camel", kw_only=True):
    """What holds a message. ``because`` says it in a sentence for people, ``gate`` in a word for programs.

    ``gate`` is null once nothing holds it any more. ``place`` is how many ready messages of its lane come before it,
    counted up to 10,000, and null while it has no turn. ``nextAttemptAt`` is null where no clock says when.
    """

    id: str
    status: Status
    held: bool
    gate: Gate | None
    because: str
    place: int | None
    next_attempt_at: str | None
    last_error: LastErrorView | None
    attempts: int
    worker: str | None
    sending_since: str | None
    failure_reason: FailureReason | None
    fault: Fault | None
    expires_at: str | None


class MessageProblemBody(ProblemBody, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A problem document (RFC 9457). ``failureReason`` says why; ``message`` is there exactly if one was stored."""

    message: MessageView | None = None
