"""How an attempt's end is recorded: a pure function of the claim and of what the channel answered."""

import msgspec

from channels.contract import Receipt
from channels.errors import Misconfigured, NotStarted, Permanent, SendError, Transient, Unknown
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.vocabulary import Channel, FailureReason, OnUnknown, Outcome, State
from worker.retry import GiveUp, decide

AT_ONCE = 0
REST_MS = 30_000
"""How long a misconfigured channel rests before it is tried again."""


def accepted(claim: Claim, receipt: Receipt) -> Ended:
    """The peer took the message."""
    return Ended(
        message_id=claim.id,
        token=claim.token,
        run=claim.run,
        started_at=claim.claimed_at,
        state=State.DONE,
        outcome=Outcome.ACCEPTED,
        code=receipt.code,
        detail=receipt.detail,
        provider_id=receipt.provider_id,
        delivered=receipt.delivered,
    )


def ended(channel: Channel, claim: Claim, error: SendError, luck: float) -> Ended:
    """The send ended with ``error``; ``luck`` (0 to 1) spreads the next try's time."""
    match error:
        case Permanent():
            return _failed(claim, error, error.reason, Outcome.PERMANENT, bounced=error.bounced, dead=error.hard)
        case Transient():
            return _again(channel, claim, error, Outcome.TRANSIENT, error.retry_after_s, luck)
        case Unknown() if claim.on_unknown is OnUnknown.HOLD:
            return _ended(claim, error, State.HELD, Outcome.UNKNOWN)
        case Unknown():
            return _again(channel, claim, error, Outcome.UNKNOWN, None, luck)
        case Misconfigured():
            return given_back(claim, REST_MS)
        case NotStarted():
            return given_back(claim, AT_ONCE)
        case _:
            raise TypeError(f"no verdict for {type(error).__name__}")


def given_back(claim: Claim, delay_ms: int) -> Ended:
    """Nothing was tried: back to its lane, due in ``delay_ms``, no try burnt."""
    return Ended(
        message_id=claim.id,
        token=claim.token,
        run=claim.run,
        started_at=claim.claimed_at,
        state=State.QUEUED,
        delay_ms=delay_ms,
    )


def wordless(ended: Ended) -> Ended:
    """The same without anything that the peer said."""
    return msgspec.structs.replace(ended, code=None, detail=None, provider_id=None)


def _again(
    channel: Channel, claim: Claim, error: SendError, outcome: Outcome, retry_after_s: float | None, luck: float
) -> Ended:
    decision = decide(channel, claim.tries + 1, retry_after_s=retry_after_s, luck=luck)
    if isinstance(decision, GiveUp):
        return _failed(claim, error, FailureReason.EXHAUSTED, outcome)
    return _ended(claim, error, State.QUEUED, outcome, delay_ms=decision.delay_ms)


def _failed(
    claim: Claim,
    error: SendError,
    reason: FailureReason,
    outcome: Outcome,
    *,
    bounced: bool = False,
    dead: bool = False,
) -> Ended:
    return _ended(claim, error, State.FAILED, outcome, reason=reason, bounced=bounced, dead_address=dead)


def _ended(
    claim: Claim,
    error: SendError,
    state: State,
    outcome: Outcome,
    *,
    delay_ms: int = 0,
    reason: FailureReason | None = None,
    bounced: bool = False,
    dead_address: bool = False,
) -> Ended:
    return Ended(
        message_id=claim.id,
        token=claim.token,
        run=claim.run,
        started_at=claim.claimed_at,
        state=state,
        outcome=outcome,
        delay_ms=delay_ms,
        code=error.code,
        detail=error.detail,
        reason=reason,
        bounced=bounced,
        dead_address=dead_address,
    )
