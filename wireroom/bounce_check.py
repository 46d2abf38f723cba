"""What ``wireroom doctor`` finds of the way that bounces take back to us."""

import asyncio
import contextlib
from typing import Final, NamedTuple

from api_shim.settings import LMTP_VARIABLE, ApiSettings
from channels.settings import ChannelSettings

_TIMEOUT_S: Final = 5.0
_READY: Final = b"220"
_NO_DOMAIN: Final = "set WIREROOM_BOUNCE_DOMAIN to the domain whose mail your mail server hands over"
_NO_LMTP: Final = f"set {LMTP_VARIABLE}, unless a bounce-mail hook takes it"


class Verdict(NamedTuple):
    """What was found; ``mend`` says what is missing."""

    detail: str
    mend: str | None


async def examine(api: ApiSettings, channels: ChannelSettings) -> Verdict | None:
    """None where nobody has asked for bounces."""
    listens = "" if api.lmtp is None else await _answer(*api.lmtp)
    if channels.bounce_domain is None:
        return Verdict(f"{listens}; no mail has a return path of its own", _NO_DOMAIN) if listens else None
    to = f"to b-…@{channels.bounce_domain}"
    if not listens:
        return Verdict(f"{to}, whose mail must come back to this Wireroom by LMTP or by a hook", _NO_LMTP)
    return Verdict(f"{to}; {listens}", None)


async def _answer(host: str, port: int) -> str:
    """Whether an LMTP server greets there (RFC 2033, section 4.1)."""
    greeting = b""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            with contextlib.closing(writer):
                greeting = await reader.readline()
    return f"LMTP on {host}:{port} " + ("answers" if greeting.startswith(_READY) else "starts with `wireroom up`")
