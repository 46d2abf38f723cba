"""Figures: pairs, their medians and ratios, and the JSON of a whole bench."""

import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, Self

import msgspec

from bench.bars import BARS, Bar
from bench.machine import Machine

MESSAGES: Final = "messages/s"
WORKER: Final = ("worker",)
"""The process that sends: ours has the sending core to itself."""


class Rival(NamedTuple):
    """What stands against ours. ``working``: those of its processes whose time is compared; without any, all.

    ``is_peer``: it is a whole service, from its intake to its rows.
    """

    name: str
    working: Collection[str] = ()
    is_peer: bool = False


class Measured(NamedTuple):
    """One side of one pair. ``cpu_seconds`` by group of processes; ``size``: bytes of content at the sink.

    ``others``: the share of the sending core's time that anybody else had meanwhile.
    """

    messages: int
    seconds: float
    cpu_seconds: Mapping[str, float]
    size: int
    others: float = 0.0

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.messages / self.seconds


class Pair(msgspec.Struct, frozen=True):
    """Both sides, taken one right after the other, in the row's unit; ``against`` None where nobody stands there."""

    ours: float
    against: float | None
    ratio: float | None

    @classmethod
    def of(cls, ours: float, against: float) -> Self:
        """The pair of two figures."""
        return cls(round(ours, 3), round(against, 3), round(ours / against, 4))


class Proof(msgspec.Struct, frozen=True):
    """What the sink alone can take: ``rate`` messages per second, ``times`` what the faster side asked of it."""

    rate: float
    times: float

    @classmethod
    def of(cls, rate: float, asked: float) -> Self:
        """The proof of a sink's rate, of which ``asked`` was asked."""
        return cls(round(rate, 1), round(rate / asked, 1))


class RowResult(msgspec.Struct, frozen=True, kw_only=True):
    """A row. ``ours`` and ``against`` are medians in ``unit``, ``ratio`` is the median of the pairs'.

    ``rival``: what stands against ours; a row without one has a figure of its own alone. ``peer``: it is a whole
    service, from its intake to its rows. ``spread`` is the lowest and
    the highest of the ratios, without them of the figures. ``bar``: what the ratio, or ``ours``, has to reach.
    ``left_out``: why there are no figures. ``failed``: what went wrong as they were taken; there are none either.

    Where events come in, they are what is counted, nothing goes to a sink, and ``cpu_ratio`` is of API, worker and
    database together.

    ``cpu`` seconds per 1,000 messages; ``size`` bytes of content per message at the sink, of ours and of the rival's.
    ``cpu_ratio`` is the rival's processor time ÷ the worker's: what ``ratio`` comes to on a machine where nobody waits
    for another. ``others`` is the share of the sending core's time that processes outside the bench had while ours
    ran: the higher, the less ``ratio`` says. ``figures``: what else was seen, by names that end in its unit.
    """

    id: str
    rival: str | None = None
    peer: bool = False
    unit: str = MESSAGES
    ours: float | None = None
    against: float | None = None
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    bar: Bar | None = None
    pairs: list[Pair] = []
    messages: int = 0
    cpu: dict[str, float] = {}
    cpu_against: dict[str, float] = {}
    cpu_ratio: float | None = None
    others: float | None = None
    size: float | None = None
    size_against: float | None = None
    sink: Proof | None = None
    figures: dict[str, float] = {}
    left_out: str | None = None
    failed: str | None = None


class Report(msgspec.Struct, frozen=True):
    """What ``--json`` writes."""

    rows: list[RowResult]
    machine: Machine


def summarise(
    row_id: str,
    ours: Sequence[Measured],
    against: Sequence[Measured],
    rival: Rival,
    *,
    sink_rate: float | None = None,
    working: Collection[str] = WORKER,
    unit: str = MESSAGES,
) -> RowResult:
    """The row of these runs, the n-th of ours beside the n-th of the rival's.

    ``sink_rate`` is None where it was not looked for. ``working``: those of our processes whose processor time is
    compared.
    """
    our_rate = statistics.median(run.rate for run in ours)
    their_rate = statistics.median(run.rate for run in against)
    cpu, cpu_against = _per_thousand(ours), _per_thousand(against)
    our_time = sum(cpu[name] for name in working)
    their_time = sum(cpu_against[name] for name in rival.working or cpu_against)
    pairs = [Pair.of(run.rate, other.rate) for run, other in zip(ours, against, strict=True)]
    return RowResult(
        id=row_id,
        rival=rival.name,
        peer=rival.is_peer,
        unit=unit,
        ours=round(our_rate, 1),
        against=round(their_rate, 1),
        ratio=_median_ratio(pairs),
        spread=_spread(pairs),
        bar=BARS.get(row_id),
        pairs=pairs,
        messages=ours[0].messages,
        cpu=cpu,
        cpu_against=cpu_against,
        # The system counts a process's time in hundredths of a second: of a short run, nothing may be left.
        cpu_ratio=round(their_time / our_time, 4) if our_time else None,
        others=round(statistics.median(run.others for run in ours), 3),
        size=_mean_size(ours),
        size_against=_mean_size(against),
        sink=None if sink_rate is None else Proof.of(sink_rate, max(our_rate, their_rate)),
    )


def compare_figures(
    row_id: str, ours: Sequence[float], against: Sequence[float], *, rival: str, unit: str, messages: int
) -> RowResult:
    """The row of figures that are no rates, such as times, the n-th of ours beside the n-th of the other's."""
    pairs = [Pair.of(*both) for both in zip(ours, against, strict=True)]
    return RowResult(
        id=row_id,
        rival=rival,
        unit=unit,
        ours=round(statistics.median(ours), 3),
        against=round(statistics.median(against), 3),
        ratio=_median_ratio(pairs),
        spread=_spread(pairs),
        bar=BARS.get(row_id),
        pairs=pairs,
        messages=messages,
    )


def own_figure(
    row_id: str, seen: Sequence[float], *, unit: str, messages: int = 0, figures: Mapping[str, float] | None = None
) -> RowResult:
    """The row of a figure that stands for itself; ``seen`` each time that it was taken."""
    return RowResult(
        id=row_id,
        unit=unit,
        ours=round(statistics.median(seen), 3),
        spread=(round(min(seen), 3), round(max(seen), 3)),
        bar=BARS.get(row_id),
        pairs=[Pair(round(each, 3), None, None) for each in seen],
        messages=messages,
        figures={name: round(each, 3) for name, each in (figures or {}).items()},
    )


def _median_ratio(pairs: Sequence[Pair]) -> float:
    return round(statistics.median(pair.ratio for pair in pairs if pair.ratio is not None), 4)


def _spread(pairs: Sequence[Pair]) -> tuple[float, float]:
    ratios = [pair.ratio for pair in pairs if pair.ratio is not None]
    return min(ratios), max(ratios)


def _per_thousand(runs: Sequence[Measured]) -> dict[str, float]:
    messages = sum(run.messages for run in runs)
    return {
        name: round(sum(run.cpu_seconds[name] for run in runs) * 1000 / messages, 4) for name in runs[0].cpu_seconds
    }


def _mean_size(runs: Sequence[Measured]) -> float:
    return round(sum(run.size for run in runs) / sum(run.messages for run in runs), 1)
