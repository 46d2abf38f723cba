"""How an attempt's end is recorded: a pure function of the claim and of what the channel answered."""

import math

import msgspec

from channels.contract import Receipt
from channels.errors import Blame, Limited, Misconfigured, NotStarted, Permanent, SendError, Transient, Unknown
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
        progress=receipt.progress,
        inbox_item=receipt.inbox_item,
        endpoint_works=True if claim.endpoint_fails else None,
    )


def ended(channel: Channel, claim: Claim, error: SendError, luck: float) -> Ended:
    """The send ended with ``error``; ``luck`` (0 to 1) spreads the next try's time."""
    verdict = _verdict(channel, claim, error, luck)
    its_own = isinstance(error, Transient | Unknown) and error.blame is not Blame.OURS
    if channel is Channel.WEBHOOK and its_own:
        return msgspec.structs.replace(verdict, endpoint_works=False)
    return verdict


def _verdict(channel: Channel, claim: Claim, error: SendError, luck: float) -> Ended:
    match error:
        case Permanent():
            return _failed(claim, error, error.reason, Outcome.PERMANENT, bounced=error.bounced, dead=error.hard)
        case Transient():
            return _again(channel, claim, error, Outcome.TRANSIENT, error.retry_after_s, luck)
        case Unknown() if claim.on_unknown is OnUnknown.HOLD:
            return _ended(claim, error, State.HELD, Outcome.UNKNOWN)
        case Unknown():
            return _again(channel, claim, error, Outcome.UNKNOWN, None, luck)
        case Misconfigured() | NotStarted():
            return _put_off(claim, error)
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


def _put_off(claim: Claim, error: Misconfigured | NotStarted) -> Ended:
    """Back to its lane, no try burnt; an attempt that got a part of it through is on record all the same."""
    match error:
        case Misconfigured():
            delay_ms = REST_MS
        case Limited():
            delay_ms = milliseconds(error.retry_after_s)
        case _:
            delay_ms = AT_ONCE
    if error.progress is None:
        return given_back(claim, delay_ms)
    put_off = _ended(claim, error, State.QUEUED, Outcome.TRANSIENT, delay_ms=delay_ms)
    return msgspec.structs.replace(put_off, spared=True)


def milliseconds(seconds: float) -> int:
    """Not less than ``seconds``."""
    return math.ceil(seconds * 1000)


def wordless(ended: Ended) -> Ended:
    """The same without anything that the peer said."""
    return msgspec.structs.replace(ended, code=None, detail=None, provider_id=None)


def _again(
    channel: Channel, claim: Claim, error: SendError, outcome: Outcome, retry_after_s: float | None, luck: float
) -> Ended:
    decision = decide(channel, claim.tries + 1, retry_after_s=retry_after_s, luck=luck)
    if isinstance(decision, GiveUp):
        if channel is Channel.PUSH and (claim.accepted or (error.progress and error.progress.accepted)):
            # One browser has the whole message: that others never answered does not make it fail.
            return msgspec.structs.replace(_ended(claim, error, State.DONE, outcome), sent=True)
        reason = FailureReason.EXHAUSTED if error.blame is Blame.RECIPIENT else FailureReason.UNREACHABLE
        return _failed(claim, error, reason, outcome)
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
        progress=error.progress,
    )
