"""``python -m bench.floors.pipelined_loop``: what the EMAIL channel's own client does alone.

It is what the worker sends by, which says a whole envelope at once where the server offers PIPELINING (RFC 2920): open
sessions, each with a task that sends one finished mail after another; neither queue nor database.
"""

import asyncio
from collections import deque

from bench.errors import BenchFailed
from bench.floors.task import Clock, Done, Task, main
from bench.traffic import SENDER, FinishedMail, finished_mails
from channels.smtp_session import Session, Timeouts, Transaction, open_session, take_leave
from channels.smtp_transaction import converse
from channels.smtp_url import parse_smtp_url


async def run(task: Task) -> Done:
    """Send finished bytes over open sessions."""
    waiting = deque(finished_mails(task.messages))
    server = parse_smtp_url(f"smtp+plain://127.0.0.1:{task.port}")
    sessions = [await open_session(server, None, "bench.example.org", Timeouts()) for _ in range(task.connections)]
    clock = Clock()
    clock.start()
    await asyncio.gather(*(_send_all(session, waiting) for session in sessions))
    done = clock.stop()
    for session in sessions:
        take_leave(session)
    return done


async def _send_all(session: Session, waiting: deque[FinishedMail]) -> None:
    while waiting:
        mail = waiting.popleft()
        verdict = await converse(session, Transaction(SENDER, mail.recipient, mail.content, _proceed))
        if not verdict.accepted:
            raise BenchFailed(f"the sink answered {verdict.reply.code}")


def _proceed() -> None:
    """Nobody else could have the mail: there is no lease to look after."""


if __name__ == "__main__":
    main(run, Task)
