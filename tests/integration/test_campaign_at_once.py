"""A campaign's pause, resume and cancel are felt within two seconds, in the midst of its messages: the sink tells."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Tenant
from tests.support.house import House
from tests.support.smtp_sink import Mail, SmtpSink
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

MESSAGES = 2_000
PER_SECOND = "150"
FELT_S = 2.0
WATCHED_S = 5.0


class Arrivals(list[Mail]):
    """Mails, and when each arrived (monotonic seconds)."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[float] = []

    def append(self, mail: Mail) -> None:
        self.at.append(time.monotonic())
        super().append(mail)


@pytest.fixture
async def house(tmp_path: Path, database_url: str, redis_url: str, mail_sink: SmtpSink) -> AsyncIterator[House]:
    house = House(tmp_path, database_url=database_url, redis_url=redis_url, smtp_port=mail_sink.port)
    yield house
    await asyncio.to_thread(house.close)


async def command(tenant: Tenant, campaign: str, name: str) -> float:
    """When it was answered."""
    answer = await tenant.call("POST", f"/campaigns/{campaign}/{name}")
    assert answer.status_code == 200, answer.text
    return time.monotonic()


async def numbers(tenant: Tenant, campaign: str) -> Any:
    return (await tenant.get(f"/campaigns/{campaign}/numbers"))["byStatus"]


async def test_pause_resume_and_cancel_are_felt_at_once(tenant: Tenant, house: House, mail_sink: SmtpSink) -> None:
    mail_sink.mails = arrivals = Arrivals()
    campaign = (await tenant.post("/campaigns", {"name": "Spring"}))["id"]
    body = {"contactId": await tenant.contact(), "channel": "EMAIL", "body": "Hello", "campaignId": campaign}
    await tenant.post("/messages/batch", [body] * MESSAGES, 200)
    house.start_keeper()
    house.start_worker(WIREROOM_RATE_EMAIL=PER_SECOND)

    async def nothing_comes_after(answered: float) -> None:
        await wait_until(lambda: time.monotonic() > answered + WATCHED_S, timeout=WATCHED_S + 5)
        late = [at - answered for at in arrivals.at if at > answered + FELT_S]
        assert late == []

    await wait_until(lambda: len(arrivals) > 100, timeout=60)
    await nothing_comes_after(await command(tenant, campaign, "pause"))
    paused_at = len(arrivals)
    assert paused_at < MESSAGES // 2
    assert await numbers(tenant, campaign) == {
        **dict.fromkeys(await numbers(tenant, campaign), 0),
        "SENT": paused_at,
        "QUEUED": MESSAGES - paused_at,
    }

    resumed = await command(tenant, campaign, "resume")
    await wait_until(lambda: len(arrivals) > paused_at + 100, timeout=60)
    assert arrivals.at[paused_at] - resumed <= FELT_S

    await nothing_comes_after(await command(tenant, campaign, "cancel"))
    sent = len(arrivals)
    assert sent < MESSAGES
    found = await numbers(tenant, campaign)
    assert (found["SENT"], found["FAILED"], found["QUEUED"]) == (sent, MESSAGES - sent, 0)
