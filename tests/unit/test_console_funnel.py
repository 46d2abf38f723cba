"""A campaign's picture: what its bars say, and of which messages each percentage is a part."""

from api_shim.console import funnel
from api_shim.workspaces.campaign_types import CampaignNumbersView, Denominator, HumanAndMachine, Rate, Rates
from models.vocabulary import FailureReason, Status


def numbers(total: int, **given: int) -> CampaignNumbersView:
    """Numbers whose rates are all half."""
    of = {"delivered": Denominator.SENT, "bounced": Denominator.ENDED, "failed": Denominator.ENDED}
    names = ("delivered", "bounced", "failed", "opened", "clicked", "unsubscribed", "complained")
    rates = {name: Rate(0.5 if total else None, of.get(name, Denominator.REACHED)) for name in names}
    return CampaignNumbersView(
        total=total,
        by_status=dict.fromkeys(Status, 0),
        ended=given.get("ended", 0),
        sent=given.get("sent", 0),
        delivered=given.get("delivered", 0),
        reached=given.get("reached", 0),
        opens=HumanAndMachine(given.get("opened", 0), given.get("opened_by_programs", 0)),
        clicks=HumanAndMachine(given.get("clicked", 0), 0),
        unsubscribed=0,
        complained=0,
        failed_by_reason={FailureReason.POLICY: given["failed"]} if "failed" in given else {},
        rates=Rates(**rates),
    )


def test_bars_are_parts_of_all_and_percentages_say_of_what() -> None:
    drawn = funnel.bars(numbers(1200, sent=900, delivered=800, reached=600, opened=300, opened_by_programs=150))
    assert [(bar.name, bar.length) for bar in drawn[:5]] == [
        ("Accepted", 100.0),
        ("Sent", 75.0),
        ("Delivered", 66.67),
        ("Opened by people", 25.0),
        ("Opened by programs", 12.5),
    ]
    assert [bar.part for bar in drawn[:5]] == [
        "",
        "75.0% of the accepted",
        "50.0% of the sent",
        "50.0% of the reached",
        "25.0% of the reached",
    ]
    assert [bar.name for bar in drawn if bar.by_programs] == ["Opened by programs", "Clicked by programs"]
    assert funnel.told(drawn).startswith("Accepted 1,200; Sent 900, 75.0% of the accepted; Delivered 800")


def test_nothing_is_no_part_of_nothing() -> None:
    drawn = funnel.bars(numbers(0))
    assert {(bar.number, bar.length, bar.part) for bar in drawn} == {(0, 0.0, "")}
    assert [line.rate for line in funnel.lost(numbers(0))] == [None] * 4


def test_what_bounced_is_what_ended_and_neither_reached_anybody_nor_failed() -> None:
    lines = funnel.lost(numbers(100, ended=90, reached=60, failed=20))
    assert [(line.name, line.number, line.of) for line in lines[:2]] == [
        ("Bounced", 10, "of what ended"),
        ("Failed", 20, "of what ended"),
    ]
