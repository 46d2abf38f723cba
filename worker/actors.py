"""The actors: one per channel and the tracker's. Each hands the wake-up on and returns; sends go on without it."""

import dramatiq

from models.vocabulary import Channel
from worker import queues
from worker.process import WorkerProcess


def declare(broker: dramatiq.Broker, process: WorkerProcess) -> None:
    """Declare every actor on ``broker``, named as its channel in lower case, and the queues that it is woken by."""
    for queue in queues.BULK:
        broker.declare_queue(queue)

    @dramatiq.actor(broker=broker, queue_name="email")
    async def email(lane: str) -> None:
        await process.send(Channel.EMAIL, lane)

    @dramatiq.actor(broker=broker, queue_name="push")
    async def push(lane: str) -> None:
        await process.send(Channel.PUSH, lane)

    @dramatiq.actor(broker=broker, queue_name="telegram")
    async def telegram(lane: str) -> None:
        await process.send(Channel.TELEGRAM, lane)

    @dramatiq.actor(broker=broker, queue_name="onsite")
    async def onsite(lane: str) -> None:
        await process.send(Channel.ONSITE, lane)

    @dramatiq.actor(broker=broker, queue_name="webhook")
    async def webhook(lane: str) -> None:
        await process.send(Channel.WEBHOOK, lane)

    @dramatiq.actor(broker=broker, queue_name="tracker")
    async def tracker(_lane: str) -> None:
        await process.track()
