"""``python -m bench.floors.aiosmtplib_loop``: what aiosmtplib does alone, with neither queue nor database.

As its documentation shows: connections that stay open, each with a task that sends one mail after another.
"""

import asyncio
from collections import deque

import aiosmtplib

from bench.floors.task import Clock, Done, Task, main
from bench.traffic import SENDER, FinishedMail, finished_mails


async def run(task: Task) -> Done:
    """Send finished bytes over open connections."""
    waiting = deque(finished_mails(task.messages))
    clients = [
        aiosmtplib.SMTP(hostname="127.0.0.1", port=task.port, start_tls=False, use_tls=False)
        for _ in range(task.connections)
    ]
    for client in clients:
        await client.connect()
        await client.ehlo()
    clock = Clock()
    clock.start()
    await asyncio.gather(*(_send_all(client, waiting) for client in clients))
    done = clock.stop()
    for client in clients:
        await client.quit()
    return done


async def _send_all(client: aiosmtplib.SMTP, waiting: deque[FinishedMail]) -> None:
    while waiting:
        mail = waiting.popleft()
        await client.sendmail(SENDER, [mail.recipient], mail.content)


if __name__ == "__main__":
    main(run, Task)
