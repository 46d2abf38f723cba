"""What an answer to ``GET /metrics`` says, read as Prometheus' own library reads it."""

from collections.abc import Sequence

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from api_shim import metrics as api_metrics
from api_shim.house_levels import Seen
from api_shim.traffic import Traffic
from models import metrics
from models.ids import new_id
from models.metrics import Family
from models.store.claims import Claim
from models.store.levels import Levels
from models.store.outcomes import Ended
from models.vocabulary import Channel, FailureReason, Lane, OnUnknown, Outcome, State, Status
from tests.support import leaks
from worker import telemetry
from worker.pacing import Slots
from worker.telemetry import KeepingMeter, SendingMeter


class Exposed:
    """The samples of one answer."""

    def __init__(self, text: str) -> None:
        leaks.see("the metrics", text, ids_too=True)
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples: list[Sample] = [sample for family in self.families.values() for sample in family.samples]

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the one sample with that name and exactly these labels; None where there is none."""
        found = [sample.value for sample in self.samples if sample.name == name and sample.labels == labels]
        assert len(found) <= 1, f"{name} {labels} twice"
        return found[0] if found else None

    def of(self, name: str) -> dict[tuple[str, ...], float]:
        """All samples of that name, by their labels' values in the order of the labels' names."""
        return {
            tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
            for sample in self.samples
            if sample.name == name
        }


def exposed(families: Sequence[Family]) -> Exposed:
    """What these would answer."""
    return Exposed(metrics.text(families).decode())


def everything() -> Exposed:
    """Every metric that any process of ours has, with a sample of each."""
    mail = (Channel.EMAIL, Lane.BULK)
    one = {mail: 1}
    levels = Levels(
        messages={(Channel.EMAIL, Status.SENT): 1},
        in_flight={Channel.EMAIL: 1},
        held={Channel.EMAIL: 1},
        ready=one,
        waited_ms=one,
        suspects=one,
        events_waiting=1,
        events_parked=1,
        status_events_waiting=1,
        endpoints_off=1,
        subscriptions_off=1,
        workers=1,
        stale_workers=1,
        resting=frozenset(),
    )
    traffic, sending, keeping = Traffic(), SendingMeter(), KeepingMeter()
    traffic.answered("GET", "/messages", 200, 0.1)
    traffic.accepted(*mail, 1)
    traffic.refused(Channel.EMAIL, FailureReason.NO_ADDRESS)
    sent = Ended(new_id(), 1, 1, 0, State.DONE, outcome=Outcome.ACCEPTED)
    sending.claimed(*mail, [claim(token=1)])
    sending.attempted(*mail, sent, 0.1)
    sending.told(sent)
    keeping.turned("wake", "done", 0.1)
    api = api_metrics.families(Seen(levels, astray=0, broker_up=True), traffic.families)
    slots = telemetry.levels({Channel.EMAIL: Slots(1)}, lambda: True, lambda: True)
    return exposed([*api, *sending.families, *slots, *keeping.families])


def claim(*, token: int, waited_ms: int = 0) -> Claim:
    """A message in a worker's hands, for the ``token``-th time."""
    return Claim(
        id=new_id(),
        workspace_id=new_id(),
        contact_id=new_id(),
        run=1,
        token=token,
        tries=0,
        crashes=0,
        content_id=new_id(),
        address="ann@example.org",
        variables={},
        metadata={},
        on_unknown=OnUnknown.RETRY,
        claimed_at=1_000_000,
        secrets=(),
        essential=False,
        track_opens=False,
        track_clicks=False,
        waited_ms=waited_ms,
    )
