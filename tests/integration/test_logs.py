"""What a log line tells of an error: where it was and of what type, and nothing that a person wrote."""

import asyncio
import json
import logging
import sys
from typing import Final

import pytest
import structlog
from aiosmtpd.handlers import Debugging
from aiosmtpd.lmtp import LMTP
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.bounces.reading import parse
from models import logs
from models.session import Database
from tests.support.processes import die_with_parent, free_environment

CANARY: Final = "canary@example.org"


async def _put_twice(connection: AsyncConnection) -> None:
    """Raises IntegrityError; PostgreSQL names the value in its DETAIL, SQLAlchemy the parameters."""
    await connection.execute(text("CREATE TEMPORARY TABLE people (address TEXT UNIQUE)"))
    for _ in range(2):
        await connection.execute(text("INSERT INTO people VALUES (:address)"), {"address": CANARY})


async def _fail(database: Database) -> None:
    try:
        async with database.write() as connection:
            await _put_twice(connection)
    except IntegrityError as error:
        raise ExceptionGroup(f"all of {CANARY}", [error]) from ValueError(CANARY)


def _break(words: str) -> None:
    raise ValueError(words)


async def _bounce() -> None:
    """Have libraries read mails and addresses, which they log by themselves."""
    parse(f"From: mailer-daemon@example.org\n\nWe could not deliver to <{CANARY}>: no such user\n".encode())
    server = await asyncio.get_running_loop().create_server(lambda: LMTP(Debugging()), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for command in ("LHLO x", f"MAIL FROM:<{CANARY}>", f"RCPT TO:<{CANARY}>", "QUIT"):
            writer.write(f"{command}\r\n".encode())
        assert b"221" in await reader.read()
        writer.close()


async def _log_errors(url: str, form: str) -> None:
    """Every way in which an error gets into the log, one after the other."""
    logs.configure("info", form)
    await _bounce()
    database = Database.connect(url, pool_size=1)
    try:
        await _fail(database)
    except ExceptionGroup as error:
        structlog.get_logger("ours").exception("ours.broke")
        logging.getLogger("theirs").exception("theirs broke")
        asyncio.get_running_loop().call_exception_handler(
            {"message": "asyncio broke", "exception": error, "to": CANARY}
        )
    asyncio.get_running_loop().call_soon(_break, CANARY)
    task = asyncio.create_task(_fail(database))
    await asyncio.wait([task])
    del task  # nobody asks what became of it
    await database.close()


@pytest.mark.parametrize("form", ["json", "console"])
async def test_an_error_is_told_without_its_words(database_url: str, form: str) -> None:
    arguments = [sys.executable, "-m", __name__, database_url, form]
    process = await asyncio.create_subprocess_exec(
        *arguments, env=free_environment(), stderr=asyncio.subprocess.PIPE, preexec_fn=die_with_parent
    )
    _, written = await process.communicate()
    told = written.decode()
    assert process.returncode == 0, told
    assert CANARY not in told
    heads = ["ours.broke", "theirs broke", "asyncio broke", "Exception in callback", "Task exception was never"]
    for head in heads:
        assert head in told
    assert told.count("sqlalchemy.exc.IntegrityError") == len(heads) - 1
    assert told.count("in _put_twice") >= len(heads) - 1
    if form == "json":
        lines = [json.loads(line) for line in told.splitlines()]
        assert len(lines) == len(heads)
        assert all("in _" in line["exception"] for line in lines)


if __name__ == "__main__":
    asyncio.run(_log_errors(*sys.argv[1:]))
