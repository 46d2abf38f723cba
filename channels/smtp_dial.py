"""Connections to mail servers that strangers named: judged by their addresses, as ``guard`` judges web servers."""

import asyncio
import os
import socket
from typing import Final

import aiohappyeyeballs

from channels.errors import Blame, Misconfigured, Transient
from channels.guard import (
    HOST_NAME,
    ForbiddenDestination,
    Guard,
    GuardedResolver,
    Network,
    SystemResolver,
    Unresolved,
    literal,
)
from channels.smtp_url import Security, SmtpServer

SUBMISSION_PORTS: Final = frozenset({25, 465, 587, 2525})
"""Where mail servers listen: RFC 5321, RFC 8314, RFC 6409, and what providers open beside 587 for whom it is closed."""

_NEXT_ADDRESS_S: Final = 0.25


class SmtpGuard(Guard):
    """Lets mail go to the submission ports of public addresses, under TLS; inside ``allow_nets`` anywhere."""

    def check_public(self, scheme: str, port: int) -> None:
        """Raise ForbiddenDestination if nothing is spoken so on this port of a public address."""
        if scheme == Security.NONE:
            raise ForbiddenDestination(
                "smtp+plain:// is allowed only in the networks that the operator lists in WIREROOM_WEBHOOK_ALLOW_NETS"
            )
        if port not in SUBMISSION_PORTS:
            raise ForbiddenDestination(
                "other ports than 25, 465, 587 and 2525 are allowed only in the networks of WIREROOM_WEBHOOK_ALLOW_NETS"
            )

    def check_server(self, server: SmtpServer) -> None:
        """Raise ForbiddenDestination as far as can be told before the server's name is resolved."""
        spelt = literal(server.host)
        if spelt is not None:
            self.check_address(spelt, scheme=server.security, port=server.port)
        elif not HOST_NAME.fullmatch(server.host.removesuffix(".")):
            raise ForbiddenDestination("the host of a mail server is a name or an IP address")
        elif not self.allow_nets:
            self.check_public(server.security, server.port)


class SmtpDialler:
    """Connects to mail servers outside, and inside ``allow_nets``; made on the event loop that it is used on."""

    def __init__(self, allow_nets: tuple[Network, ...]) -> None:
        self._resolver = GuardedResolver(SmtpGuard(allow_nets), SystemResolver())

    async def dial(self, server: SmtpServer, timeout_s: float) -> socket.socket:
        """A connection to one of the addresses that were checked; raises Misconfigured or Transient."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._connect(server)
        except ForbiddenDestination as error:
            raise Misconfigured(str(error)) from None
        except Unresolved:
            raise Transient("cannot reach the SMTP server: no such host", blame=Blame.SENDER) from None
        except TimeoutError:
            raise Transient(
                "cannot reach the SMTP server: no connection within the time-out", blame=Blame.SENDER
            ) from None
        except OSError as error:
            said = os.strerror(error.errno) if error.errno else type(error).__name__
            raise Transient(f"cannot reach the SMTP server: {said}", blame=Blame.SENDER) from None

    async def _connect(self, server: SmtpServer) -> socket.socket:
        addresses = await self._resolver.resolve(server.host, scheme=server.security, port=server.port)
        ends = [
            (
                socket.AF_INET if address.version == 4 else socket.AF_INET6,
                socket.SOCK_STREAM,
                0,
                "",
                (str(address), server.port),
            )
            for address in addresses
        ]
        return await aiohappyeyeballs.start_connection(ends, happy_eyeballs_delay=_NEXT_ADDRESS_S)

    def close(self) -> None:
        """Give up what is being resolved."""
        self._resolver.close()
