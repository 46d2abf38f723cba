from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from wireroom import watch_view
from wireroom.watch import LATE_S, Pace, Rate, Seen, age, attention
from worker.alarms import LATE_MS


def lane(channel: str = "EMAIL", lane: str = "transactional", **numbers: Any) -> dict[str, Any]:
    nothing = {"ready": 0, "later": 0, "inFlight": 0, "oldestSeconds": None}
    return {"channel": channel, "lane": lane} | nothing | numbers


def status(status: str, total: int, recent: int = 0, channel: str = "EMAIL") -> dict[str, Any]:
    return {"channel": channel, "status": status, "total": total, "recent": recent}


def look(*lanes: dict[str, Any], statuses: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    quiet = {"at": "2026-01-15T10:00:00.250Z", "minutes": 5, "held": 0, "undelivered": {}, "resting": []}
    return quiet | {"lanes": list(lanes), "statuses": statuses or []} | more


def test_a_rate_is_of_the_last_ten_seconds() -> None:
    pace = Pace()
    assert pace.learn(look(statuses=[status("QUEUED", 100), status("SENT", 50)]), 0.0) == {}
    second = pace.learn(look(statuses=[status("QUEUED", 90), status("SENT", 80)]), 2.0)
    assert second == {"EMAIL": Rate(accepted=10.0, ended=15.0)}
    for at in range(4, 14, 2):
        pace.learn(look(statuses=[status("QUEUED", 90), status("SENT", 80)]), float(at))
    still = pace.learn(look(statuses=[status("QUEUED", 90), status("SENT", 80), status("SENT", 5, channel="PUSH")]), 14)
    assert still == {"EMAIL": Rate(0.0, 0.0), "PUSH": Rate(0.5, 0.5)}
    assert pace.learn(look(statuses=[status("SENT", 10)]), 16.0) == {"EMAIL": Rate(0.0, 0.0)}


def test_what_is_in_order_wants_no_attention() -> None:
    waits = lane(ready=5, oldestSeconds=LATE_S)
    long_campaign = lane(lane="bulk", ready=10_000, oldestSeconds=3600.0)
    assert attention(look(waits, long_campaign), {"EMAIL": Rate(0.0, 9.0)}) == []
    assert LATE_S * 1000 == LATE_MS


def test_attention_says_what_and_what_to_do() -> None:
    late = lane(ready=1, oldestSeconds=LATE_S + 1)
    stands = lane("PUSH", "bulk", ready=1, oldestSeconds=90_000.0)
    rests = lane("TELEGRAM", ready=1, oldestSeconds=500.0)
    found = attention(
        look(late, stands, rests, resting=["TELEGRAM"], held=2, undelivered={"ours": 1_000, "receiver": 7}),
        {"EMAIL": Rate(1.0, 1.0), "PUSH": Rate(1.0, 0.0)},
    )
    assert [each.split(":")[0].split(".")[0] for each in found] == [
        "TELEGRAM rests",
        "EMAIL transactional is late",
        "PUSH bulk is late",
        "1,000 failed by this installation's fault",
        "2 held",
    ]
    assert "--since 5m --fault ours" in found[3]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (61, "61 s"),
        (150, "2 min"),
        (7200, "2 h"),
        (90_000, "25 h"),
        (259_200, "3 d"),
    ],
)
def test_ages_are_short(seconds: float, said: str) -> None:
    assert age(seconds) == said


BUSY = look(
    lane(ready=12, inFlight=4, oldestSeconds=0.4),
    lane(lane="bulk", ready=10_000, later=3, oldestSeconds=31.0),
    lane("PUSH"),
    statuses=[status("QUEUED", 10_012, 9_000), status("SENT", 48_210, 911), status("FAILED", 3, 2)],
    held=1,
)


def drawn(seen: Seen, width: int) -> str:
    console = Console(width=width, height=40, record=True, force_terminal=True, file=StringIO())
    console.print(watch_view.board(seen, "http://[::1]:8080", console))
    return console.export_text()


@pytest.mark.parametrize("width", [80, 99, 120, 200])
def test_the_board_holds_everything_at_any_width(width: int) -> None:
    text = drawn(Seen(BUSY, {"EMAIL": Rate(3.0, 20.5)}), width)
    for said in (
        "10,000+",
        "31 s",
        "0.4 s",
        "3.0",
        "20.5",
        "911",
        "9,000",
        "http://[::1]:8080",
        "held",
        "10:00:00 UTC",
    ):
        assert said in text, said
    assert max(map(len, text.splitlines())) <= width
    assert "2026-01-15" in drawn(Seen(BUSY, {}, missed="no answer from x"), 120)
    assert "no answer from x" in drawn(Seen(BUSY, {}, missed="no answer from x"), 120)


def test_an_empty_house_says_so() -> None:
    seen = Seen(look(lane(), lane("PUSH")), {})
    assert "No message yet" in drawn(seen, 100)
    assert watch_view.line(seen) == "2026-01-15T10:00:00.250Z  no message yet"


def test_a_line_says_what_waits() -> None:
    assert watch_view.line(Seen(BUSY, {"EMAIL": Rate(3.0, 20.5)}, missed="no answer")) == (
        "2026-01-15T10:00:00.250Z  EMAIL transactional 12 ready, 0 later, 4 in flight, oldest 0.4 s; "
        "bulk 10,000+ ready, 3 later, 0 in flight, oldest 31 s, 20.5/s  "
        "! 1 held: nobody knows whether they arrived. `GET …/messages?held=true` lists them  ! no answer"
    )
