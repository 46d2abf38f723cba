"""How things are counted, and that no label grows with use."""

import re
from itertools import product
from uuid import UUID

import pytest

from api_shim.routing import OPERATIONS
from api_shim.traffic import OTHER, Measured, Traffic
from models.errors import InvalidSetting
from models.metrics import Counts, Gauge, Histogram, Page, Process
from models.store.outcomes import Ended
from models.vocabulary import Channel, FailureReason, Lane, Outcome, State
from tests.support.exposed import Exposed, claim, everything, exposed
from worker.pacing import Slots
from worker.settings import MetricsSettings
from worker.telemetry import KeepingMeter, SendingMeter, levels

MAIL = {"channel": "EMAIL", "lane": "bulk"}


def test_counts_grow() -> None:
    counts = Counts("wireroom_things_total", "Things.", ("kind",))
    for kind in ("a", "b", "a"):
        counts.add((kind,))
    counts.add(("a",), 3)
    assert exposed([counts]).of("wireroom_things_total") == {("a",): 5, ("b",): 1}


def test_a_value_is_in_every_bucket_that_it_fits_in() -> None:
    histogram = Histogram("wireroom_wait_seconds", "Waits.", ("kind",), (0.1, 1, 10))
    for value in (0.1, 0.11, 10, 11):
        histogram.observe(("a",), value)
    seen = exposed([histogram])
    buckets = {
        bound: seen.value("wireroom_wait_seconds_bucket", kind="a", le=bound) for bound in ("0.1", "1.0", "10.0")
    }
    assert buckets == {"0.1": 1, "1.0": 2, "10.0": 3}
    assert seen.value("wireroom_wait_seconds_bucket", kind="a", le="+Inf") == 4
    assert seen.value("wireroom_wait_seconds_count", kind="a") == 4
    assert seen.value("wireroom_wait_seconds_sum", kind="a") == pytest.approx(21.21)


def test_what_is_unknown_has_no_sample() -> None:
    known: dict[tuple[str, ...], float] = {}
    gauge = Gauge("wireroom_level", "A level.", (), lambda: known)
    assert exposed([gauge]).of("wireroom_level") == {}
    known[()] = 2.5
    assert exposed([gauge]).value("wireroom_level") == 2.5


def test_a_process_says_what_it_is() -> None:
    seen = exposed([Process("worker")])
    assert [part for part, _ in seen.of("wireroom_build_info")] == ["worker"]
    assert (seen.value("process_resident_memory_bytes") or 0) > 1_000_000


def test_a_page_is_not_written_anew_for_each_who_asks() -> None:
    counts = Counts("wireroom_things_total", "Things.")
    for page, newer in ((Page(), 0), (Page(kept_s=0), 1)):
        counts.add()
        first = Exposed(page.text(lambda: [counts]).decode()).value("wireroom_things_total")
        counts.add()
        assert first is not None
        late = Exposed(page.text(lambda: [counts]).decode()).value("wireroom_things_total")
        assert late == first + newer


# --- Workers


def ended(outcome: Outcome | None, reason: FailureReason | None = None) -> Ended:
    return Ended(UUID(int=1), 1, 1, 0, State.DONE, outcome=outcome, reason=reason)


def test_attempts_are_counted_by_outcome_and_fault() -> None:
    meter = SendingMeter()
    for each in (
        ended(Outcome.ACCEPTED),
        ended(Outcome.TRANSIENT),
        ended(Outcome.TRANSIENT, FailureReason.EXHAUSTED),
        ended(Outcome.PERMANENT, FailureReason.POLICY),
        ended(None),
    ):
        meter.attempted(Channel.EMAIL, Lane.BULK, each, 0.2)
    meter.given_back(Channel.EMAIL, Lane.BULK, 0)
    meter.given_back(Channel.EMAIL, Lane.BULK, 4)
    seen = exposed(meter.families)
    assert seen.of("wireroom_attempts_total") == {  # channel, fault, lane, outcome
        ("EMAIL", "none", "bulk", "accepted"): 1,
        ("EMAIL", "none", "bulk", "transient"): 1,
        ("EMAIL", "receiver", "bulk", "transient"): 1,
        ("EMAIL", "ours", "bulk", "permanent"): 1,
        ("EMAIL", "none", "bulk", "given_back"): 5,
    }
    assert seen.value("wireroom_attempt_duration_seconds_count", **MAIL) == 4  # what was not tried took no time
    assert seen.value("wireroom_attempt_duration_seconds_sum", **MAIL) == pytest.approx(0.8)


def test_a_claim_is_one_chunk_and_only_first_claims_tell_how_long_was_waited() -> None:
    meter = SendingMeter()
    meter.claimed(Channel.EMAIL, Lane.BULK, [])
    meter.claimed(Channel.EMAIL, Lane.BULK, [claim(token=1, waited_ms=1_500), claim(token=2, waited_ms=90_000)])
    seen = exposed(meter.families)
    assert seen.value("wireroom_claimed_messages_bucket", **MAIL, le="0.0") == 1
    assert seen.value("wireroom_claimed_messages_count", **MAIL) == 2
    assert seen.value("wireroom_claimed_messages_sum", **MAIL) == 2
    assert seen.value("wireroom_pickup_delay_seconds_count", **MAIL) == 1
    assert seen.value("wireroom_pickup_delay_seconds_sum", **MAIL) == 1.5


def test_a_worker_says_how_full_it_is() -> None:
    slots = Slots(40)
    slots.take(Lane.BULK, UUID(int=1))
    seen = exposed(levels({Channel.EMAIL: slots}, lambda: False, lambda: True))
    assert seen.value("wireroom_worker_slots", channel="EMAIL") == 40
    assert seen.of("wireroom_worker_slots_taken") == {("EMAIL", "transactional"): 0, ("EMAIL", "bulk"): 1}
    assert (seen.value("wireroom_worker_lease_held"), seen.value("wireroom_worker_broker_up")) == (0, 1)


def test_the_keeper_says_what_it_does() -> None:
    meter = KeepingMeter()
    assert exposed(meter.families).value("wireroom_workers_lost_total") == 0  # so that the first one is an increase
    meter.turned("wake", "done", 0.5)
    meter.turned("wake", "broke", 0.25)
    meter.rescued(7)
    seen = exposed(meter.families)
    assert seen.of("wireroom_keeper_turns_total") == {("wake", "done"): 1, ("wake", "broke"): 1}
    assert seen.value("wireroom_keeper_turn_seconds_total", duty="wake") == 0.75
    assert (seen.value("wireroom_workers_lost_total"), seen.value("wireroom_messages_rescued_total")) == (1, 7)


# --- The number of series


def test_however_much_is_sent_a_worker_has_so_many_series() -> None:
    meter = SendingMeter()
    endings = [ended(outcome, reason) for outcome, reason in product([*Outcome, None], [*FailureReason, None])]
    for _ in range(2):
        for channel, lane in product(Channel, Lane):
            meter.claimed(channel, lane, [claim(token=1)])
            for each in endings:
                meter.attempted(channel, lane, each, 1)
    seen = exposed(meter.families)
    lanes, outcomes, faults = len(Channel) * len(Lane), len(Outcome), 4
    assert len(seen.of("wireroom_attempts_total")) == lanes * (outcomes * faults + 1)
    assert len(seen.samples) <= lanes * (outcomes * faults + 1 + 3 * 20)


async def test_whatever_is_asked_for_the_api_has_so_many_series() -> None:
    traffic = Traffic()

    async def app(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 404})  # type: ignore[operator]

    async def receive() -> dict[str, object]:
        return {}

    async def send(message: object) -> None:
        assert message == {"type": "http.response.start", "status": 404}

    for method in ("GET", "HEAD", "POST", "TRACE", *(f"M{number}" for number in range(100))):
        await Measured(app, "/things/{id}", {"GET"}, traffic)({"type": "http", "method": method}, receive, send)
    seen = exposed(traffic.families)
    assert seen.of("wireroom_http_requests_total") == {
        ("GET", "/things/{id}", "404"): 1,
        ("HEAD", "/things/{id}", "404"): 1,
        (OTHER, "/things/{id}", "404"): 102,
    }
    assert len({operation.shown_path for operation in OPERATIONS}) < 200  # each is a route, and no more than these are


# --- Names and settings


def test_names_say_what_is_measured_and_in_what() -> None:
    for name, family in everything().families.items():
        assert re.fullmatch(r"(wireroom|process)_[a-z_]+", name), name
        assert not name.endswith(("_ms", "_count", "_sum", "_bucket", "_total")), name  # the library's own endings
        assert family.documentation, name
        if family.type == "histogram":
            assert name.endswith(("_seconds", "_messages")), name


@pytest.mark.parametrize(
    ("bind", "host", "ports"),
    [
        ("127.0.0.1:9410", "127.0.0.1", [9410]),
        ("127.0.0.1:9410-9412", "127.0.0.1", [9410, 9411, 9412]),
        ("[::1]:9410-9410", "::1", [9410]),
        ("localhost:0", "localhost", [0]),
    ],
)
def test_where_metrics_are(bind: str, host: str, ports: list[int]) -> None:
    settings = MetricsSettings.read({"WIREROOM_METRICS_BIND": bind})
    assert settings is not None
    assert (settings.host, list(settings.ports)) == (host, ports)


def test_metrics_are_nowhere_unless_told() -> None:
    assert MetricsSettings.read({}) is MetricsSettings.read({"WIREROOM_METRICS_BIND": ""}) is None


@pytest.mark.parametrize("bind", ["9410", "h:", "h:-", "h:9410-", "h:9412-9410", "h:0-9", "h:1-70000", ":1", "h:1-2-3"])
def test_a_mistake_names_the_variable(bind: str) -> None:
    with pytest.raises(InvalidSetting, match="WIREROOM_METRICS_BIND"):
        MetricsSettings.read({"WIREROOM_METRICS_BIND": bind})
