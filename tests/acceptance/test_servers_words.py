"""What a server says of itself, shown by the command: as text, and as nothing that a terminal obeys."""

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.commands import wireroom

TITLE = "\x1b]0;renamed\x07\x9b2J"
_SSL_REQUEST = 80877103
_FIELDS = ("SFATAL", "VFATAL", "C28P01", f"M{TITLE}no such password", "")


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As PostgreSQL refuses who wants to enter (Frontend/Backend Protocol, sections 54.2.1 and 54.7)."""
    while True:
        (length,) = struct.unpack("!I", await reader.readexactly(4))
        told = await reader.readexactly(length - 4)
        if struct.unpack("!I", told[:4])[0] != _SSL_REQUEST:
            break
        writer.write(b"N")
    body = b"".join(field.encode() + b"\0" for field in _FIELDS)
    writer.write(b"E" + struct.pack("!I", 4 + len(body)) + body)
    writer.close()


@pytest.fixture
async def refusing() -> AsyncIterator[int]:
    """The port of a database that lets nobody in, and says so in words of its own."""
    server = await asyncio.start_server(_refuse, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("command", [("doctor",), ("workspace", "list")])
async def test_a_terminal_obeys_no_server(command: tuple[str, ...], refusing: int, tmp_path: Path) -> None:
    url = f"postgresql://wireroom@127.0.0.1:{refusing}/wireroom"
    answer = await wireroom(*command, WIREROOM_DATABASE_URL=url, WIREROOM_DATA_DIR=str(tmp_path))
    said = answer.out + answer.err
    assert (answer.code, "no such password" in said) == (1, True)
    assert {letter for letter in said if not letter.isprintable()} <= {"\n"}
