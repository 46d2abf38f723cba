"""Networks: those that the operator has a name for, and those that clients come from."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple

from starlette.requests import Request

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,39}")
_OF_A_SUBSCRIBER: Final = 64  # bits, of IPv6


class NamedNetwork(NamedTuple):
    """``name`` is empty where the operator gave none."""

    name: str
    network: IPv4Network | IPv6Network


def parse(text: str) -> tuple[NamedNetwork, ...]:
    """Networks, comma-separated, each after a name and ``=`` or without; raises ValueError."""
    return tuple(_parse_one(part.strip()) for part in text.split(",") if part.strip())


def _parse_one(text: str) -> NamedNetwork:
    name, equals, cidr = text.rpartition("=")
    name = name.strip()
    if equals and not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: up to 40 letters, digits, spaces, dots and dashes")
    return NamedNetwork(name, ip_network(cidr.strip()))


def containing(networks: Sequence[NamedNetwork], host: str) -> NamedNetwork | None:
    """The first of them that an address is in; None where there is none, or ``host`` is no address."""
    if not networks:
        return None
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return next((each for each in networks if address in each.network), None)


def of_client(request: Request) -> str:
    """Where the request comes from: an address, of IPv6 the network that one subscriber has."""
    host = request.client.host if request.client is not None else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address.packed, _OF_A_SUBSCRIBER), strict=False))
