"""The demo's mail provider: reports what becomes of each mail, through the generic hook, signed."""

import asyncio
import heapq
import itertools
import json
import random
import time
from collections.abc import Callable
from typing import Final

import httpx

from channels import standard_webhooks
from models import timestamps
from models.vocabulary import EventType, Status
from wireroom.demo_arrivals import Arrivals
from wireroom.demo_check import message_id_of

_TICK_S: Final = 0.1
_PAUSE_S: Final = (0.3, 0.9)
_RETRY_S: Final = 0.5

_REPORTS: Final[dict[Status, tuple[EventType, ...]]] = {
    Status.DELIVERED: (EventType.DELIVERED,),
    Status.OPENED: (EventType.DELIVERED, EventType.OPENED),
    Status.CLICKED: (EventType.DELIVERED, EventType.OPENED, EventType.CLICKED),
    Status.UNSUBSCRIBED: (EventType.DELIVERED, EventType.OPENED, EventType.UNSUBSCRIBED),
    Status.BOUNCED: (EventType.BOUNCED,),
}


class Readers:
    """Watches the mails arrive and reports, a moment apart, the events that lead to each one's ending."""

    def __init__(
        self, hook_url: str, signing_key: str, arrivals: Arrivals, ending: Callable[[str], Status | None]
    ) -> None:
        """``ending`` gives the status that a message is to end in, None while that is not known yet."""
        self._hook_url = hook_url
        self._signing_key = signing_key
        self._arrivals = arrivals
        self._ending = ending
        self._due: list[tuple[float, int, str, EventType]] = []
        self._seen = 0
        self._unplanned: list[str] = []
        self._numbers = itertools.count()
        self._random = random.Random(7)  # noqa: S311 - how long a reader dawdles is no secret

    async def run(self) -> None:
        """Report until cancelled."""
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                fresh = self._arrivals.mails[self._seen :]
                self._seen += len(fresh)
                self._unplanned += [found for mail in fresh if (found := message_id_of(mail))]
                self._unplanned = [message_id for message_id in self._unplanned if not self._plan(message_id)]
                await self._report(client)
                await asyncio.sleep(_TICK_S)

    def _plan(self, message_id: str) -> bool:
        ending = self._ending(message_id)
        if ending is None:
            return False
        at = time.monotonic()
        for kind in _REPORTS[ending]:
            at += self._random.uniform(*_PAUSE_S)
            heapq.heappush(self._due, (at, next(self._numbers), message_id, kind))
        return True

    async def _report(self, client: httpx.AsyncClient) -> None:
        """Post what is due as one request; what is not answered 2xx is posted again, as providers do."""
        due = []
        while self._due and self._due[0][0] <= time.monotonic():
            due.append(heapq.heappop(self._due))
        if not due:
            return
        now = time.time()
        events = [
            {
                "id": f"demo-{number}",
                "type": kind.value,
                "messageId": message_id,
                "at": timestamps.show(int(now * 1000)),
            }
            for _, number, message_id, kind in due
        ]
        body = json.dumps({"events": events}).encode()
        request_id = f"demo-batch-{due[0][1]}"
        signature = standard_webhooks.sign([self._signing_key], message_id=request_id, timestamp=int(now), body=body)
        headers = {
            "Content-Type": "application/json",
            standard_webhooks.ID_HEADER: request_id,
            standard_webhooks.TIMESTAMP_HEADER: str(int(now)),
            standard_webhooks.SIGNATURE_HEADER: signature,
        }
        try:
            accepted = (await client.post(self._hook_url, content=body, headers=headers)).is_success
        except httpx.HTTPError:
            accepted = False
        if not accepted:
            for _, number, message_id, kind in due:
                heapq.heappush(self._due, (time.monotonic() + _RETRY_S, number, message_id, kind))
