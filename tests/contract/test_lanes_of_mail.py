"""Where mails wait for a connection, a person's goes before those of a campaign that came first."""

import asyncio
from collections import Counter

from channels.contract import Content, Envelope, Receipt
from channels.email import EmailChannel, EmailConfig
from channels.rendering import Texts
from models.vocabulary import Lane
from tests.support import smtp_sink
from tests.support.dispatching import Drum, dispatching
from tests.support.envelopes import envelope
from tests.support.scene import Scene
from tests.support.waiting import wait_until

CONTENT = Content(subject="Hello", body="Hi")
MANY = 60


async def test_a_person_s_mail_does_not_wait_for_bulk_in_hand() -> None:
    async with smtp_sink.running() as sink:
        channel = EmailChannel(EmailConfig(f"smtp+plain://127.0.0.1:{sink.port}", "Acme <news@example.org>"))
        prepared = channel.prepare(CONTENT)
        sink.script("DATA", delay_s=0.05)
        campaign = [envelope("bulk@example.net", bulk=True) for _ in range(MANY)]
        bulk = [asyncio.create_task(channel.send(each, prepared)) for each in campaign]
        await wait_until(lambda: sink.commands.count("DATA") > 0)
        await channel.send(envelope("ann@example.net"), prepared)
        before = len(sink.received_by("bulk@example.net"))
        await asyncio.gather(*bulk)
        await channel.close()
    assert before <= MANY // 2


class Listener(Drum):
    """Notes what it is told to let wait."""

    def __init__(self) -> None:
        super().__init__()
        self.told: Counter[bool] = Counter()

    async def send(self, envelope: Envelope, prepared: Texts) -> Receipt:
        self.told[envelope.bulk] += 1
        return await super().send(envelope, prepared)


async def test_a_channel_is_told_what_is_bulk(scene: Scene) -> None:
    contact = await scene.contact()
    drafts = [scene.draft(contact, lane=lane) for lane in (Lane.BULK, Lane.TRANSACTIONAL, Lane.BULK)]
    await scene.intake.submit_many(drafts)
    listener = Listener()
    async with dispatching(scene, drum=listener) as house:
        for lane in Lane:
            await house.dispatcher.pull(lane)
        await house.dispatcher.drain(10)
    assert listener.told == {True: 2, False: 1}
