"""A campaign's numbers as a picture: bars whose lengths are parts of all that was accepted. Pure."""

from collections.abc import Sequence

import msgspec

from api_shim.workspaces.campaign_types import CampaignNumbersView, Denominator

_OF = {
    Denominator.ENDED: "of what ended",
    Denominator.SENT: "of the sent",
    Denominator.REACHED: "of the reached",
}


class Bar(msgspec.Struct, frozen=True):
    """One stage: how many messages, what part of which, and the bar's length in percent of the picture's width.

    ``by_programs``: what scanners and proxies did, and no person.
    """

    name: str
    number: int
    part: str
    length: float
    by_programs: bool = False


class Line(msgspec.Struct, frozen=True):
    """A rate beside the picture: how many, what part (0 to 1, None where there is no whole) and of which."""

    name: str
    number: int
    rate: float | None
    of: str


def bars(numbers: CampaignNumbersView) -> list[Bar]:
    """From what was accepted to what was clicked, people and programs apart."""
    rates, reached = numbers.rates, numbers.reached

    def bar(name: str, number: int, rate: float | None, of: str, *, by_programs: bool = False) -> Bar:
        length = round(100 * number / numbers.total, 2) if numbers.total else 0.0
        return Bar(name, number, "" if rate is None else f"{rate:.1%} {of}", length, by_programs)

    def by_programs(name: str, number: int) -> Bar:
        rate = number / reached if reached else None
        return bar(name, number, rate, _OF[Denominator.REACHED], by_programs=True)

    return [
        bar("Accepted", numbers.total, None, ""),
        bar("Sent", numbers.sent, numbers.sent / numbers.total if numbers.total else None, "of the accepted"),
        bar("Delivered", numbers.delivered, rates.delivered.rate, _OF[rates.delivered.of]),
        bar("Opened by people", numbers.opens.human, rates.opened.rate, _OF[rates.opened.of]),
        by_programs("Opened by programs", numbers.opens.machine),
        bar("Clicked by people", numbers.clicks.human, rates.clicked.rate, _OF[rates.clicked.of]),
        by_programs("Clicked by programs", numbers.clicks.machine),
    ]


def told(drawn: Sequence[Bar]) -> str:
    """The picture in a sentence, for those who do not see it."""
    return "; ".join(f"{bar.name} {bar.number:,}" + (f", {bar.part}" if bar.part else "") for bar in drawn)


def lost(numbers: CampaignNumbersView) -> list[Line]:
    """What went otherwise, each with what it is a part of."""
    rates = numbers.rates
    return [
        Line(name, number, rate.rate, _OF[rate.of])
        for name, number, rate in (
            ("Bounced", numbers.ended - numbers.reached - sum(numbers.failed_by_reason.values()), rates.bounced),
            ("Failed", sum(numbers.failed_by_reason.values()), rates.failed),
            ("Unsubscribed", numbers.unsubscribed, rates.unsubscribed),
            ("Complained", numbers.complained, rates.complained),
        )
    ]
