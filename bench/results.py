"""Figures: pairs, their medians and ratios, and the JSON of a whole bench."""

import statistics
from collections.abc import Collection, Sequence
from typing import NamedTuple, Self

import msgspec

from bench.machine import Machine


class Measured(NamedTuple):
    """One side of one pair. ``cpu_seconds`` by group of processes; ``size``: bytes of content at the sink.

    ``others``: the share of the sending core's time that anybody else had meanwhile.
    """

    messages: int
    seconds: float
    cpu_seconds: dict[str, float]
    size: int
    others: float = 0.0

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.messages / self.seconds


class Pair(msgspec.Struct, frozen=True):
    """Both sides, taken one right after the other; rates in messages per second."""

    ours: float
    against: float
    ratio: float

    @classmethod
    def of(cls, ours: Measured, against: Measured) -> Self:
        """The pair of two runs."""
        return cls(round(ours.rate, 1), round(against.rate, 1), round(ours.rate / against.rate, 4))


class Proof(msgspec.Struct, frozen=True):
    """What the sink alone can take: ``rate`` messages per second, ``times`` what the faster side asked of it."""

    rate: float
    times: float

    @classmethod
    def of(cls, rate: float, asked: float) -> Self:
        """The proof of a sink's rate, of which ``asked`` was asked."""
        return cls(round(rate, 1), round(rate / asked, 1))


class RowResult(msgspec.Struct, frozen=True):
    """A row. ``ours`` and ``against`` are medians in messages per second, ``ratio`` is the median of the pairs'.

    Where events come in, they are what is counted, nothing goes to a sink, and ``cpu_ratio`` is of API, worker and
    database together.

    ``spread`` is the lowest and the highest of those; ``cpu`` seconds per 1,000 messages; ``size`` bytes of content
    per message at the sink, of ours and of the bare loop's. ``cpu_ratio`` is the bare loop's processor time ÷ the
    worker's: what ``ratio`` comes to on a machine where nobody waits for another. ``others`` is the share of the
    sending core's time that processes outside the bench had while ours ran: the higher, the less ``ratio`` says.
    """

    id: str
    ours: float
    against: float
    ratio: float
    spread: tuple[float, float]
    pairs: list[Pair]
    messages: int
    cpu: dict[str, float]
    cpu_against: dict[str, float]
    cpu_ratio: float
    others: float
    size: float
    size_against: float
    sink: Proof | None


class Report(msgspec.Struct, frozen=True):
    """What ``--json`` writes."""

    rows: list[RowResult]
    machine: Machine


def summarise(
    row_id: str,
    ours: Sequence[Measured],
    against: Sequence[Measured],
    sink_rate: float | None,
    *,
    working: Collection[str] = ("worker",),
) -> RowResult:
    """The row of these runs, the n-th of ours beside the n-th of the other's.

    ``sink_rate`` is None where nothing is sent; ``working``: those of our processes whose processor time is compared.
    """
    pairs = [Pair.of(*both) for both in zip(ours, against, strict=True)]
    ratios = [pair.ratio for pair in pairs]
    our_rate = statistics.median(run.rate for run in ours)
    their_rate = statistics.median(run.rate for run in against)
    cpu, cpu_against = _per_thousand(ours), _per_thousand(against)
    return RowResult(
        id=row_id,
        ours=round(our_rate, 1),
        against=round(their_rate, 1),
        ratio=round(statistics.median(ratios), 4),
        spread=(min(ratios), max(ratios)),
        pairs=pairs,
        messages=ours[0].messages,
        cpu=cpu,
        cpu_against=cpu_against,
        cpu_ratio=round(sum(cpu_against.values()) / sum(cpu[name] for name in working), 4),
        others=round(statistics.median(run.others for run in ours), 3),
        size=_mean_size(ours),
        size_against=_mean_size(against),
        sink=None if sink_rate is None else Proof.of(sink_rate, max(our_rate, their_rate)),
    )


def _per_thousand(runs: Sequence[Measured]) -> dict[str, float]:
    messages = sum(run.messages for run in runs)
    return {
        name: round(sum(run.cpu_seconds[name] for run in runs) * 1000 / messages, 4) for name in runs[0].cpu_seconds
    }


def _mean_size(runs: Sequence[Measured]) -> float:
    return round(sum(run.size for run in runs) / sum(run.messages for run in runs), 1)
