"""What a handler answers, and how that is written."""

from collections.abc import AsyncIterator, Callable

import msgspec
import structlog
from starlette.responses import Response

from api_shim.streaming import Streamed
from models.logs import places

log = structlog.get_logger("api_shim")


class Reply(msgspec.Struct, frozen=True):
    """What a handler answers: a struct to be written as JSON, or bytes of ``media_type``, whole or as they come.

    ``ended`` is called once the answer has ended, however it ended: bytes as they come may end before they began.
    """

    body: msgspec.Struct | bytes | AsyncIterator[bytes] | None = None
    status: int | None = None
    headers: dict[str, str] = {}
    media_type: str = "application/json"
    cookies: tuple[str, ...] = ()  # each a Set-Cookie of its own (RFC 6265, section 3)
    ended: Callable[[], None] = lambda: None


class BrokenOff(Exception):
    """An answer that had begun could not be ended: the connection is closed, so that nobody takes it for whole."""


async def _whole_or_broken(chunks: AsyncIterator[bytes], path: str) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield chunk
    except Exception as error:  # noqa: BLE001 - the server would log its words, which may hold personal data
        report(error, path)
        raise BrokenOff(path) from None


def write(reply: Reply, path: str, status: int) -> Response:
    """The reply of an operation at ``path``; ``status``: where it names none itself."""
    if isinstance(reply.body, AsyncIterator):
        chunks = _whole_or_broken(reply.body, path)
        return Streamed(chunks, reply.status or status, reply.headers, reply.media_type, ended=reply.ended)
    content = reply.body if isinstance(reply.body, bytes) else b""
    if isinstance(reply.body, msgspec.Struct):
        content = msgspec.json.encode(reply.body)
    media_type = reply.media_type if reply.body is not None else None
    response = Response(content, reply.status or status, reply.headers, media_type)
    for cookie in reply.cookies:
        response.headers.append("Set-Cookie", cookie)
    return response


def report(error: Exception, path: str) -> None:
    """Log an error that nobody foresaw: where it happened, but not its words, which may hold personal data."""
    log.error("request failed", path=path, error=type(error).__name__, places=places(error))
