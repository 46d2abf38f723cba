"""What a peer does when its answer is due: most ways to misbehave are one of these."""

import asyncio
import contextlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Act:
    """Wait, say something (a byte every ``pace_s``), go on with ``filler`` bytes of nothing, and hang up.

    ``trickle``: bytes that come one a second behind what was said.

    Who hangs up without a word resets the connection. Says nothing, and does not hang up: the usual is said.
    """

    says: bytes = b""
    wait_s: float = 0.0
    pace_s: float = 0.0
    filler: int = 0
    trickle: int = 0
    cuts: bool = False


_BLOCK = bytes(1 << 16)


async def perform(act: Act, usual: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Do it; what was said. Raises ConnectionError where the line is cut, by whomever."""
    if act.wait_s:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(act.wait_s):
                await reader.read()  # who waits hears nothing of the other's leave
    said = act.says or (b"" if act.cuts else usual)
    for piece in _singly(said) if act.pace_s else [said]:
        await _write(piece, act.pace_s, writer)
    for piece in _singly(bytes(act.trickle)):
        await _write(piece, 1.0, writer)
    for _ in range(act.filler // len(_BLOCK)):
        await _write(_BLOCK, 0.0, writer)
    if act.cuts:
        if not said:
            writer.transport.abort()
        writer.close()
        raise ConnectionAbortedError
    return said


def _singly(text: bytes) -> list[bytes]:
    return [text[at : at + 1] for at in range(len(text))]


async def _write(piece: bytes, pause_s: float, writer: asyncio.StreamWriter) -> None:
    writer.write(piece)
    await writer.drain()
    await asyncio.sleep(pause_s)
