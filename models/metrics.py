"""What a process counts and measures, in Prometheus' terms.

Counting is one look-up in a dictionary, for it is done with every message and every request; samples are made only
when somebody asks. Only then is Prometheus' library loaded, a twentieth of a second: most are never asked. No label
may hold what grows with use: a channel, a lane, an outcome, a route's template, but no id, no address, no workspace.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format."""

_KEPT_S: Final = 1.0

Labels = tuple[str, ...]
"""The values of a family's labels, in their order."""


class Family(Protocol):
    """All samples of one or more metrics."""

    def collect(self) -> Iterable["Metric"]:
        """As they are now."""


class Counts:
    """Numbers that only grow; the ``name`` ends in ``_total``."""

    def __init__(self, name: str, says: str, labels: Sequence[str] = ()) -> None:
        self._name = name
        self._says = says
        self._labels = labels
        self._numbers: dict[Labels, float] = {}

    def add(self, labels: Labels = (), by: float = 1) -> None:
        """Count ``by`` more."""
        self._numbers[labels] = self._numbers.get(labels, 0) + by

    def collect(self) -> Iterator["Metric"]:
        """As they are now."""
        from prometheus_client.metrics_core import CounterMetricFamily  # noqa: PLC0415 - see the top

        family = CounterMetricFamily(self._name, self._says, labels=self._labels)
        for labels, number in list(self._numbers.items()):
            family.add_metric(labels, number)
        yield family


class Histogram:
    """How many values were how large: up to each of ``bounds`` (ascending), and beyond the last."""

    def __init__(self, name: str, says: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name = name
        self._says = says
        self._labels = labels
        self._bounds = bounds
        self._rows: dict[Labels, list[float]] = {}  # a number per bound, the number beyond them, the sum

    def observe(self, labels: Labels, value: float) -> None:
        """Take in one value."""
        row = self._rows.get(labels)
        if row is None:
            row = self._rows[labels] = [0.0] * (len(self._bounds) + 2)
        row[bisect_left(self._bounds, value)] += 1
        row[-1] += value

    def collect(self) -> Iterator["Metric"]:
        """As they are now."""
        from prometheus_client.metrics_core import HistogramMetricFamily  # noqa: PLC0415 - see the top

        family = HistogramMetricFamily(self._name, self._says, labels=self._labels)
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        for labels, row in list(self._rows.items()):
            so_far = 0.0
            buckets: list[tuple[str, float]] = []
            for name, number in zip(names, row, strict=False):
                so_far += number
                buckets.append((name, so_far))
            family.add_metric(labels, buckets, row[-1])
        yield family


class Gauge:
    """What goes up and down, read when it is asked for; what is unknown has no sample."""

    def __init__(self, name: str, says: str, labels: Sequence[str], read: Callable[[], Mapping[Labels, float]]) -> None:
        self._name = name
        self._says = says
        self._labels = labels
        self._read = read

    def collect(self) -> Iterator["Metric"]:
        """As it is now."""
        from prometheus_client.metrics_core import GaugeMetricFamily  # noqa: PLC0415 - see the top

        family = GaugeMetricFamily(self._name, self._says, labels=self._labels)
        for labels, value in self._read().items():
            family.add_metric(labels, value)
        yield family


class Process:
    """The process itself: memory, processor time, open files (on Linux), and which version of Wireroom it runs."""

    def __init__(self, part: str) -> None:
        """``part``: what the process is, ``api``, ``worker`` or ``keeper``."""
        self._part = part

    def collect(self) -> Iterator["Metric"]:
        """As it is now."""
        from importlib.metadata import version  # noqa: PLC0415 - see the top

        from prometheus_client import ProcessCollector  # noqa: PLC0415 - see the top
        from prometheus_client.metrics_core import GaugeMetricFamily  # noqa: PLC0415 - see the top

        build = GaugeMetricFamily(
            "wireroom_build_info", "1 for each process, by what it is and its version.", labels=("part", "version")
        )
        build.add_metric((self._part, version("wireroom")), 1)
        yield build
        yield from ProcessCollector(registry=None).collect()


class _All:
    """Families, as Prometheus' library asks for them."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator["Metric"]:
        for family in self._families:
            yield from family.collect()


class Page:
    """The text of an answer, written anew once a second at most: it takes milliseconds, and anybody may ask."""

    def __init__(self, kept_s: float = _KEPT_S) -> None:
        """``kept_s``: for how long the same text is given again."""
        self._kept_s = kept_s
        self._text = b""
        self._good_until = float("-inf")

    def text(self, families: Callable[[], Iterable[Family]]) -> bytes:
        """All samples in Prometheus' text format."""
        now = time.monotonic()
        if now >= self._good_until:
            self._text = text(families())
            self._good_until = now + self._kept_s
        return self._text


def text(families: Iterable[Family]) -> bytes:
    """All samples in Prometheus' text format."""
    from prometheus_client import generate_latest  # noqa: PLC0415 - see the top

    return generate_latest(_All(families))
