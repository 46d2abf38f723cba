"""A message's situation as ``why`` sees it, of which nothing is known but that it waits."""

from models.vocabulary import Channel, Outcome, State, Status
from models.why import Attempt, Situation

NOW = 1_768_471_200_000
PAST = NOW - 60_000

FRESH = Situation(
    now=NOW,
    channel=Channel.EMAIL,
    state=State.QUEUED,
    status=Status.QUEUED,
    due_at=PAST,
    expires_at=None,
    sending_at=None,
    ended_at=None,
    sent_at=None,
    failure_reason=None,
    paused=False,
    campaign=None,
    rests_until=None,
    crashes=0,
    suspect=False,
    place=None,
    worker_id=None,
    worker_lost=False,
    claimed_at=None,
    attempts=0,
    last_attempt=None,
)
REFUSED_FOR_NOW = Attempt(PAST, Outcome.TRANSIENT, "451", "try later")
