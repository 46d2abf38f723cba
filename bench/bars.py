"""What each row has to reach, so that a report shows at a glance what is slow."""

from typing import Final

import msgspec


class Bar(msgspec.Struct, frozen=True):
    """The value to reach; where ``at_most``, it is what must not be passed.

    Of the ratio where the row has one; ``of_ours``: of our own figure all the same, in the row's unit.
    """

    value: float
    at_most: bool = False
    of_ours: bool = False

    def is_reached(self, figure: float) -> bool:
        """Whether a ratio, or a figure that stands for itself, is as good as that."""
        return figure <= self.value if self.at_most else figure >= self.value


def _no_more_than(value: float) -> Bar:
    return Bar(value, at_most=True, of_ours=True)


BARS: Final = {
    # aiosmtplib asks four times for each mail, the worker once where the server lets it: twice its speed is left.
    "email/aiosmtplib": Bar(2.0),
    "email/aiosmtplib@sqlite": Bar(1.0),
    # Half of what the same client does alone: the other half is for queue, rows and status.
    "email/pipelined": Bar(0.5),
    "webhook/aiohttp": Bar(0.65),
    # What one would build otherwise. The peers reach 0.06 to 0.33 of a bare loop.
    "email/celery": Bar(15.0),
    "webhook/celery": Bar(8.0),
    "email/post_office": Bar(5.0),
    "email/bullmq": Bar(5.0),
    "webhook/bullmq": Bar(2.0),
    # Whoever sends one by one must not pay for it with most of the speed.
    "email/single": Bar(0.5),
    "email/two-workers": Bar(1.2),
    "post/echo": Bar(0.4),
    "intake/insert": Bar(0.6),
    "ingest/insert": Bar(0.60),
    "ingest duplicates/new": Bar(1.0),
    # A database that grows must not slow what is sent: a tenth, for indexes get deeper.
    "email/growth": Bar(0.90),
    # A request, two commits and a wake-up more than what it is held against, and none of them waited for in vain.
    "idle/latency": Bar(6.0, at_most=True),
    "idle/latency-p99": Bar(8.0, at_most=True),
    # Per cent of a core, and MiB.
    "idle/cpu": _no_more_than(3.0),
    "memory": _no_more_than(150.0),
}
"""By the row's id. Rows without a bar are there to be watched."""
