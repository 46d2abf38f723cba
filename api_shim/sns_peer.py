"""What we ask of Amazon SNS: the certificates that it signs by, and that a subscription is wanted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from api_shim import problems
from api_shim.problems import Problem
from channels.errors import SendError
from channels.guarded_http import Answer
from channels.providers import sns

_MOST_REMEMBERED: Final = 16
_RETRY_AFTER_S: Final = "20"

Fetch = Callable[[str], Awaitable[Answer]]
"""Reads what lies at an address; raises SendError."""

log = structlog.get_logger("api_shim")


class SnsPeer:
    """Certificates are remembered by their address, once they have proved something."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._certificates: dict[str, bytes] = {}
        self._confirming: set[asyncio.Task[None]] = set()

    async def certificate(self, url: str) -> bytes:
        """The certificate (PEM) at an address that was found to be Amazon's; raises Problem (503)."""
        known = self._certificates.get(url)
        if known is not None:
            return known
        try:
            answer = await self._fetch(url)
        except SendError as error:
            log.warning("hooks.no_certificate", error=type(error).__name__)
            answer = None
        if answer is None or answer.status != 200:
            raise Problem(problems.CERTIFICATE_UNAVAILABLE, headers={"Retry-After": _RETRY_AFTER_S})
        return answer.body

    def remember(self, url: str, certificate: bytes) -> None:
        """Keep a certificate that proved a message, so that the next one costs no request."""
        if url not in self._certificates and len(self._certificates) >= _MOST_REMEMBERED:
            del self._certificates[next(iter(self._certificates))]
        self._certificates[url] = certificate

    def confirm(self, message: sns.SnsMessage) -> None:
        """Confirm the subscription that a proved message asks about, in the background; any other is passed over."""
        url = sns.confirmation_url(message)
        if url is None:
            return
        task = asyncio.create_task(self._confirm(url))
        self._confirming.add(task)
        task.add_done_callback(self._confirming.discard)

    async def drain(self) -> None:
        """Wait for what is being confirmed."""
        await asyncio.gather(*self._confirming)

    async def _confirm(self, url: str) -> None:
        # Without its address, which holds the token.
        try:
            answer = await self._fetch(url)
        except SendError as error:
            log.warning("hooks.subscription_not_confirmed", error=type(error).__name__)
            return
        if answer.status == 200:
            log.info("hooks.subscription_confirmed")
        else:
            log.warning("hooks.subscription_not_confirmed", status=answer.status)
