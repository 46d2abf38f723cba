"""The status is a function of facts and state, whatever the order of events."""

from collections.abc import Iterable, Iterator
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import lifecycle
from models.lifecycle import FILES_OF, Facts, File
from models.vocabulary import BounceType, EventType, Fact, State, Status

times = st.integers(0, 2**40)
facts_rows = st.dictionaries(st.sampled_from(Fact), times)
reports = st.tuples(
    st.sampled_from(EventType), st.sampled_from([None, *BounceType]), st.booleans(), st.integers(0, 1_000)
)


def _apply(events: list[tuple[EventType, BounceType | None, bool, int]]) -> dict[Fact, int | None]:
    facts: dict[Fact, int | None] = {}
    for event, bounce_type, machine, at in events:
        facts = lifecycle.merge(facts, lifecycle.facts_of(event, bounce_type=bounce_type, machine=machine), at)
    return facts


@settings(max_examples=200)
@given(st.lists(reports, max_size=12).flatmap(lambda events: st.tuples(st.just(events), st.permutations(events * 2))))
def test_order_and_repetition_do_not_matter(
    runs: tuple[
        list[tuple[EventType, BounceType | None, bool, int]], list[tuple[EventType, BounceType | None, bool, int]]
    ],
) -> None:
    once, shuffled_twice = runs
    assert _apply(once) == _apply(shuffled_twice)


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ([Fact.SENT], Status.SENT),
        ([Fact.SENT, Fact.DELIVERED], Status.DELIVERED),
        ([Fact.SENT, Fact.FAILED], Status.FAILED),
        ([Fact.DELIVERED, Fact.FAILED], Status.DELIVERED),
        ([Fact.SENT, Fact.SOFT_BOUNCED], Status.BOUNCED),
        ([Fact.DELIVERED, Fact.SOFT_BOUNCED], Status.DELIVERED),
        ([Fact.DELIVERED, Fact.HARD_BOUNCED], Status.BOUNCED),
        ([Fact.OPENED, Fact.HARD_BOUNCED], Status.OPENED),
        ([Fact.CLICKED, Fact.HARD_BOUNCED], Status.CLICKED),
        ([Fact.OPENED, Fact.CLICKED], Status.CLICKED),
        ([Fact.CLICKED, Fact.UNSUBSCRIBED], Status.UNSUBSCRIBED),
        ([Fact.CLICKED, Fact.COMPLAINED], Status.UNSUBSCRIBED),
        ([Fact.SENT, Fact.MACHINE_OPENED, Fact.MACHINE_CLICKED], Status.SENT),
    ],
)
@pytest.mark.parametrize("state", State)
def test_facts_come_before_the_state(known: list[Fact], status: Status, state: State) -> None:
    assert lifecycle.status_of(dict.fromkeys(known, 1), state) is status


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.QUEUED, Status.QUEUED),
        (State.SENDING, Status.SENDING),
        (State.HELD, Status.SENDING),
        (State.DONE, Status.SENT),
        (State.FAILED, Status.FAILED),
        (State.CANCELLED, Status.FAILED),
    ],
)
def test_without_facts_the_state_is_shown(state: State, status: Status) -> None:
    assert lifecycle.status_of({}, state) is status
    assert lifecycle.status_of(dict.fromkeys(Fact), state) is status


def test_every_word_has_its_place() -> None:
    ranked = [fact for fact, _ in lifecycle.PRECEDENCE]
    assert {*ranked, Fact.MACHINE_OPENED, Fact.MACHINE_CLICKED} == set(Fact)
    assert len(ranked) == len(set(ranked))
    assert set(lifecycle.BY_STATE) == set(State)


@given(facts_rows)
def test_shown_steps_ascend(facts: Facts) -> None:
    steps = [lifecycle.effective(facts, step) for step in (Fact.SENT, Fact.DELIVERED, Fact.OPENED, Fact.CLICKED)]
    reached = [time for time in steps if time is not None]
    assert reached == sorted(reached)
    assert None not in steps[: len(reached)]


def test_an_implied_step_is_shown_and_never_later_than_its_own_time() -> None:
    assert lifecycle.effective({Fact.CLICKED: 5}, Fact.DELIVERED) == 5
    assert lifecycle.effective({Fact.CLICKED: 5, Fact.DELIVERED: 3}, Fact.DELIVERED) == 3
    assert lifecycle.effective({Fact.OPENED: 5}, Fact.CLICKED) is None


@pytest.mark.parametrize(
    ("event", "bounce_type", "machine", "established"),
    [
        (EventType.ACCEPTED, None, False, {Fact.SENT}),
        (EventType.DEFERRED, None, False, {Fact.SENT}),
        (EventType.DELIVERED, None, False, {Fact.SENT, Fact.DELIVERED}),
        (EventType.OPENED, None, False, {Fact.SENT, Fact.OPENED}),
        (EventType.OPENED, None, True, {Fact.SENT, Fact.MACHINE_OPENED}),
        (EventType.CLICKED, None, False, {Fact.SENT, Fact.CLICKED}),
        (EventType.CLICKED, None, True, {Fact.SENT, Fact.MACHINE_CLICKED}),
        (EventType.BOUNCED, None, False, {Fact.SENT, Fact.HARD_BOUNCED}),
        (EventType.BOUNCED, BounceType.HARD, False, {Fact.SENT, Fact.HARD_BOUNCED}),
        (EventType.BOUNCED, BounceType.SOFT, False, {Fact.SENT, Fact.SOFT_BOUNCED}),
        (EventType.FAILED, None, False, {Fact.SENT, Fact.FAILED}),
        (EventType.COMPLAINED, None, False, {Fact.SENT, Fact.COMPLAINED}),
        (EventType.UNSUBSCRIBED, None, False, {Fact.SENT, Fact.UNSUBSCRIBED}),
        (EventType.RESUBSCRIBED, None, False, set()),
        (EventType.IGNORED, None, False, set()),
    ],
)
def test_what_an_event_establishes(
    event: EventType, bounce_type: BounceType | None, machine: bool, established: set[Fact]
) -> None:
    assert lifecycle.facts_of(event, bounce_type=bounce_type, machine=machine) == established


@pytest.mark.parametrize(
    ("at", "given_time"),
    [(None, 2_000), (500, 1_000), (1_000, 1_000), (1_500, 1_500), (302_000, 302_000), (302_001, 302_000)],
)
def test_an_event_time_is_clamped(at: int | None, given_time: int) -> None:
    assert lifecycle.clamp(at, created_at=1_000, received_at=2_000) == given_time


def _possible() -> Iterator[tuple[dict[Fact, int | None], State]]:
    """Every set of facts with every state; a message that something is reported of was sent, and waits no more."""
    for number in range(len(Fact) + 1):
        for known in combinations(Fact, number):
            if not known or Fact.SENT in known:
                yield from ((_facts(known), state) for state in State if not known or state not in WAITING)


def _facts(known: Iterable[Fact]) -> dict[Fact, int | None]:
    return dict.fromkeys(known, 1)


WAITING = (State.QUEUED, State.HELD)


def test_a_status_is_filed_under_these_and_no_others() -> None:
    found: dict[Status, set[File]] = {status: set() for status in Status}
    for facts, state in _possible():
        found[lifecycle.status_of(facts, state)].add(lifecycle.filed_under(facts, state))
    assert found == {status: set(files) for status, files in FILES_OF.items()}


@pytest.mark.parametrize("fact", [Fact.DELIVERED, Fact.OPENED, Fact.CLICKED, Fact.MACHINE_OPENED])
def test_an_arrival_changes_no_file(fact: Fact) -> None:
    for facts, state in _possible():
        assert lifecycle.filed_under({**facts, fact: 1}, state) is lifecycle.filed_under({**facts, fact: None}, state)
