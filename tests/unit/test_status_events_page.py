"""That ``docs/status-events.md`` tells of every event and of all that one holds."""

import json
import re
from pathlib import Path
from uuid import UUID

import pytest

from models.store.due_subscriptions import Waiting
from models.store.status_events import Told
from models.vocabulary import Channel, StatusEvent
from worker.notices import notice

PAGE = (Path(__file__).parents[2] / "docs" / "status-events.md").read_text()
ROWS = dict(re.findall(r"^\| `(message\.\w+)` \|.*\| (\w+) \|$", PAGE, re.M))


def told(event: StatusEvent, reason: str | None = None) -> Told:
    return Told(
        subscription=Waiting(UUID(int=1), UUID(int=2), "https://example.org/", (), 1),
        message_id=UUID(int=3),
        type=event,
        at=0,
        reason=reason,
        token=1,
        tries=0,
        attempts=(),
        claimed_at=0,
        channel=Channel.EMAIL,
        contact_id=UUID(int=4),
        external_id=None,
        campaign_id=UUID(int=5),
        journey_id=UUID(int=6),
        metadata={},
    )


@pytest.mark.parametrize("event", StatusEvent)
def test_each_event_has_its_row(event: StatusEvent) -> None:
    said = json.loads(notice(told(event)).body)
    assert ROWS[event] == said["data"]["status"]
    assert len(ROWS) == len(StatusEvent)


def test_the_example_is_what_is_sent() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.S)
    shown, said = json.loads(example), json.loads(notice(told(StatusEvent.DELIVERED)).body)
    assert list(shown) == list(said)
    assert list(shown["data"]) == list(said["data"])


def test_ids_and_reasons_stand_where_they_belong() -> None:
    bounced, failed = notice(told(StatusEvent.BOUNCED, "soft")), notice(told(StatusEvent.FAILED, "expired"))
    assert bounced.id == f"msg_{'0' * 25}3:bounced"
    data = json.loads(bounced.body)["data"]
    assert (data["bounceType"], data["failureReason"]) == ("soft", None)
    assert (data["campaignId"], data["journeyId"]) == (f"cmp_{'0' * 25}5", f"jour_{'0' * 25}6")
    assert json.loads(failed.body)["data"]["failureReason"] == "expired"
