"""What each row has to reach, so that a report shows at a glance what is slow."""

from typing import Final

import msgspec


class Bar(msgspec.Struct, frozen=True):
    """The value to reach; where ``at_most``, it is what must not be passed."""

    value: float
    at_most: bool = False

    def is_reached(self, figure: float) -> bool:
        """Whether a ratio, or a figure that stands for itself, is as good as that."""
        return figure <= self.value if self.at_most else figure >= self.value


BARS: Final = {
    # What the design's spike reached of the same client in a bare loop; peers reach 0.06 to 0.33 of it.
    "email/aiosmtplib": Bar(0.70),
    "email/pipelined": Bar(0.54),
    "webhook/aiohttp": Bar(0.71),
    # Whoever would use the peer instead must not lose by coming here.
    "email/celery": Bar(1.0),
    "webhook/celery": Bar(1.0),
    "email/post_office": Bar(1.0),
    "email/bullmq": Bar(1.0),
    "webhook/bullmq": Bar(1.0),
    "ingest/insert": Bar(0.60),
    "ingest duplicates/new": Bar(1.0),
    # A database that grows must not slow what is sent: a tenth, for indexes get deeper.
    "email/growth": Bar(0.90),
}
"""By the row's id. Rows without a bar are there to be watched."""
