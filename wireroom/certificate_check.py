"""What ``wireroom doctor`` finds of the certificate at ``WIREROOM_PUBLIC_URL``, which stands in every link."""

import asyncio
import ssl
import time
from typing import Final
from urllib.parse import urlsplit

from wireroom.finding import TIMEOUT_S, Finding

_PART: Final = "certificate"
_HTTPS: Final = 443
_DAY_S: Final = 24 * 3600
_SOON_DAYS: Final = 14
"""Who renews by itself does so a month before the end, as a rule."""


async def examine(public_url: str, trusted: ssl.SSLContext | None = None) -> Finding | None:
    """None where the address is no https one. ``trusted``: by default what this machine's clients trust."""
    parts = urlsplit(public_url)
    if parts.scheme != "https" or parts.hostname is None:
        return None
    host, port = parts.hostname, parts.port or _HTTPS
    try:
        async with asyncio.timeout(TIMEOUT_S):
            ends_at = await _end_of(host, port, trusted or ssl.create_default_context())
    except ssl.SSLCertVerificationError as error:
        mend = "renew or correct it where TLS ends: links and widgets are refused by every browser"
        return Finding(_PART, ok=False, detail=f"{host}: {error.verify_message}", mend=mend)
    except (OSError, TimeoutError, UnicodeError) as error:
        # No fault yet: many a network does not lead to its own address from within.
        mend = "is WIREROOM_PUBLIC_URL right, and does your proxy take TLS there? Try it from elsewhere, too"
        said = f"{host}:{port} cannot be reached from here ({type(error).__name__})"
        return Finding(_PART, ok=True, detail=said, mend=mend)
    days = int((ends_at - time.time()) // _DAY_S)
    detail = f"{host}: valid for {days} days more"
    late = "renew it: what renews it by itself, if anything does, is late" if days < _SOON_DAYS else None
    return Finding(_PART, ok=True, detail=detail, mend=late)


async def _end_of(host: str, port: int, trusted: ssl.SSLContext) -> float:
    """When the certificate ends (seconds since 1970); raises OSError, of which SSLCertVerificationError is one."""
    _, writer = await asyncio.open_connection(host, port, ssl=trusted)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert()
        return ssl.cert_time_to_seconds(shown["notAfter"])
    finally:
        writer.close()
