"""``python -m bench.floors.raw_smtp``: pipelined mail (RFC 2920), the next envelope in one write with a content."""

from collections import deque
from typing import Final

from bench.floors.raw import Pieces, write_all
from bench.floors.task import Done, Task, main
from bench.traffic import SENDER, FinishedMail, finished_mails

_GREETING_AND_EHLO: Final = 5  # lines
_ENVELOPE: Final = 3


async def run(task: Task) -> Done:
    """Send finished mails."""
    waiting = deque(finished_mails(task.messages))
    return await write_all(task.port, [_pieces(waiting) for _ in range(task.connections)], b"\r\n")


def _pieces(waiting: deque[FinishedMail]) -> Pieces:
    yield b"EHLO bench.example.org\r\n", _GREETING_AND_EHLO
    content, answers = b"", _ENVELOPE
    while waiting:
        mail = waiting.popleft()
        envelope = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{mail.recipient}>\r\nDATA\r\n"
        yield content + envelope.encode(), answers
        content, answers = mail.content + b".\r\n", 1 + _ENVELOPE
    if content:
        yield content, 1


if __name__ == "__main__":
    main(run, Task)
