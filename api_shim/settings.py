"""Where the HTTP server and the LMTP server listen, and how the world reaches the former."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final, Self

from api_shim import networks
from api_shim.networks import NamedNetwork
from models.errors import InvalidSetting
from models.settings import DEFAULT_BIND, TraceSettings, number, place, public_url

LMTP_VARIABLE: Final = "WIREROOM_LMTP_BIND"
DRAIN_S: Final = 30
"""Seconds that an API process that is told to stop gives the requests in flight."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """``WIREROOM_BIND`` and ``WIREROOM_PUBLIC_URL`` (without a slash at its end).

    ``proxies`` is ``FORWARDED_ALLOW_IPS``, uvicorn's own: addresses and networks, or ``*``, whose ``X-Forwarded-For``
    is believed. Nobody's, unless it is set: a client on this machine would name itself as it likes. ``lmtp`` is
    ``WIREROOM_LMTP_BIND``, where bounce mail is taken in; None: nowhere. ``machine_nets``: ``WIREROOM_MACHINE_NETS``,
    from where no person follows a link. ``key_rate``: ``WIREROOM_RATE_API``, requests a second of one API key to this
    process; None: as many as it likes.
    """

    host: str
    port: int
    public_url: str
    proxies: tuple[str, ...] = ()
    lmtp: tuple[str, int] | None = None
    machine_nets: tuple[NamedNetwork, ...] = ()
    traces: TraceSettings | None = None
    key_rate: float | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the environment; raises InvalidSetting, naming the variable."""
        host, port = place("WIREROOM_BIND", environ.get("WIREROOM_BIND") or DEFAULT_BIND, "127.0.0.1:8080")
        lmtp = environ.get(LMTP_VARIABLE)
        return cls(
            host=host,
            port=port,
            public_url=public_url(environ),
            proxies=_proxies(environ.get("FORWARDED_ALLOW_IPS", "")),
            lmtp=place(LMTP_VARIABLE, lmtp, "127.0.0.1:2424") if lmtp else None,
            machine_nets=_machine_nets(environ.get("WIREROOM_MACHINE_NETS", "")),
            traces=TraceSettings.read(environ),
            key_rate=number(environ, "WIREROOM_RATE_API"),
        )


def _machine_nets(text: str) -> tuple[NamedNetwork, ...]:
    try:
        return networks.parse(text)
    except ValueError as error:
        raise InvalidSetting(
            f"WIREROOM_MACHINE_NETS: {error}; networks are written as in scanner=192.0.2.0/24,198.51.100.0/24"
        ) from None


def _proxies(text: str) -> tuple[str, ...]:
    found = tuple(item for item in (part.strip() for part in text.split(",")) if item)
    if found == ("*",):
        return found
    for each in found:
        try:
            ip_network(each)
        except ValueError:
            raise InvalidSetting(
                f"FORWARDED_ALLOW_IPS: {each!r} is no address or network, as in 127.0.0.1 or 10.0.0.0/8"
            ) from None
    return found
