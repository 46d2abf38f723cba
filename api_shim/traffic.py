"""What the API counts of its own work: requests, by the templates of their routes, and what became of messages."""

import time
from collections.abc import Collection, Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.metrics import Counts, Family, Histogram
from models.vocabulary import Channel, FailureReason, Lane

OTHER: Final = "other"
"""The method or the route of a request that no operation answers."""

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Traffic:
    """Of one process."""

    def __init__(self) -> None:
        self._requests = Counts(
            "wireroom_http_requests_total",
            "Requests by the template of their route ('other': none), method and status.",
            ("method", "route", "status"),
        )
        self._durations = Histogram(
            "wireroom_http_request_duration_seconds",
            "From a request's head to the head of its answer, with all that was waited for as asked (Prefer: wait).",
            ("method", "route"),
            _SECONDS,
        )
        self._accepted = Counts(
            "wireroom_messages_accepted_total", "Messages that were stored, before their answer.", ("channel", "lane")
        )
        self._refused = Counts(
            "wireroom_messages_refused_total",
            "Messages that were refused (422), and not stored.",
            ("channel", "reason"),
        )
        self.families: Sequence[Family] = (self._requests, self._durations, self._accepted, self._refused)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered, after so long."""
        self._requests.add((method, route, str(status)))
        self._durations.observe((method, route), seconds)

    def accepted(self, channel: Channel, lane: Lane, number: int) -> None:
        """So many messages were stored."""
        self._accepted.add((channel, lane), number)

    def refused(self, channel: Channel, reason: FailureReason) -> None:
        """A message was refused."""
        self._refused.add((channel, reason))


class Measured:
    """The application of one path, whose answers are counted; ``methods``: those that it knows."""

    def __init__(self, app: ASGIApp, route: str, methods: Collection[str], traffic: Traffic) -> None:
        self._app = app
        self._route = route
        self._methods = frozenset(methods) | ({"HEAD"} if "GET" in methods else frozenset())
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = time.monotonic()

        async def count_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in self._methods else OTHER
                self._traffic.answered(method, self._route, message["status"], time.monotonic() - began)
            await send(message)

        await self._app(scope, receive, count_and_send)
