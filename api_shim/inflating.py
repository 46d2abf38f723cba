"""Bodies that come compressed (RFC 9110, section 8.4), within the limit that those have which do not."""

import zlib
from typing import Final

from starlette.requests import Request

from api_shim import problems
from api_shim.decoding import read_encoded
from api_shim.problems import Problem

_GZIP: Final = frozenset({"gzip", "x-gzip"})
_WITH_HEADER: Final = 16 + zlib.MAX_WBITS
# What stands behind a member is copied: of a body made of empty ones, as often as there are members.
_MOST_MEMBERS: Final = 16


async def read_inflated(request: Request, limit: int) -> bytes:
    """The body, inflated where it is gzip; raises Problem: 413 over ``limit`` bytes before or after, else 415."""
    encoding = request.headers.get("content-encoding", "").strip().lower() or "identity"
    if encoding not in (*_GZIP, "identity"):
        raise Problem(problems.UNSUPPORTED_ENCODING, "Send the body without Content-Encoding, or as gzip.")
    body = await read_encoded(request, limit)
    return inflate(body, limit) if encoding in _GZIP else body


def inflate(body: bytes, limit: int) -> bytes:
    """What gzip members (RFC 1952) hold; raises Problem (413) as soon as it is over ``limit`` bytes, 415 for others."""
    pieces: list[bytes] = []
    room = limit + 1
    for _ in range(_MOST_MEMBERS):
        if not body or not room:
            break
        member = zlib.decompressobj(_WITH_HEADER)
        try:
            piece = member.decompress(body, room)
        except zlib.error:
            raise _not_gzip() from None
        pieces.append(piece)
        room -= len(piece)
        if room and not member.eof:
            raise _not_gzip()
        body = member.unused_data
    if room and body:
        raise _not_gzip()
    if not room:
        raise Problem(problems.TOO_LARGE, f"At most {limit:,} bytes once it is inflated.")
    return b"".join(pieces)


def _not_gzip() -> Problem:
    return Problem(problems.UNSUPPORTED_ENCODING, "The body is not gzip, or not whole.")
