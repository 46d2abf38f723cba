"""The guard of outgoing requests: what a URL that a stranger gave may make us connect to.

It decides about addresses, not about names: a name is judged by every address that it resolves to, inside the
resolver that the client dials from, so that the address which was checked is the address which is dialled.
Names that resolve to a public address now and to 127.0.0.1 a moment later (rebinding) therefore gain nothing.
"""

import asyncio
import re
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Protocol

from yarl import URL

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_LENGTH: Final = 2048
PUBLIC_PORTS: Final = frozenset({443, 80, 8443})

_DENIED_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network (RFC 791)
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # carrier-grade NAT (RFC 6598)
        "127.0.0.0/8",  # loopback (RFC 1122)
        "169.254.0.0/16",  # link-local (RFC 3927), the metadata services of clouds among it
        "172.16.0.0/12",  # private (RFC 1918)
        "192.0.0.0/24",  # IETF protocol assignments (RFC 6890)
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "192.168.0.0/16",  # private (RFC 1918)
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved (RFC 1112) and broadcast
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")
"""The only part of IPv6 that is assigned for public use (RFC 4291, section 2.4). Outside it lie, among others,
loopback, IPv4-compatible addresses, NAT64, ULA (fd00:ec2::254 too), link-local, site-local and multicast."""
_DENIED_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/32",  # Teredo (RFC 4380): carries an IPv4 address
        "2001:2::/48",  # benchmarks (RFC 5180)
        "2001:10::/28",  # ORCHID (RFC 4843)
        "2001:20::/28",  # ORCHIDv2 (RFC 7343)
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4 (RFC 3056): carries an IPv4 address
        "3fff::/20",  # documentation (RFC 9637)
    )
)

_CONTROL_OR_SPACE: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]")
# yarl takes as a port what Python's int() takes, and for [v1.x] the name v1.x.
_AUTHORITY: Final = re.compile(
    r"[a-z]+://(\[(?P<inside>[^\[\]/?#]*)\]|[^\[\]:/?#]*)(:[0-9]{1,5})?([/?#].*)?", re.I | re.S
)
HOST_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_ENDS_IN_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")

_REMEMBERED_S: Final = 10.0
_MOST_REMEMBERED: Final = 4096
_MOST_LOOKUPS: Final = 800


class ForbiddenDestination(Exception):
    """The guard refuses to connect. The text says which rule, and never the address."""


class Unresolved(Exception):
    """A host name has no address, or nobody could tell it."""


class Resolver(Protocol):
    """Tells the addresses of names."""

    async def resolve(self, host: str) -> Sequence[Address]:
        """Every address of the name, the best first; OSError where there is none."""

    def close(self) -> None:
        """Begin no further lookup."""


class SystemResolver:
    """The resolver of the operating system (getaddrinfo).

    It has threads of its own, as many as there may be messages in hand: a name server that says nothing holds one for
    ten seconds or more (resolv.conf(5)), and the loop's own few would soon all wait for such names.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_MOST_LOOKUPS, thread_name_prefix="names")

    async def resolve(self, host: str) -> Sequence[Address]:
        """Every address of the name in the system's order (RFC 6724)."""
        look_up = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        return [ip_address(sockaddr[0]) for *_, sockaddr in found]

    def close(self) -> None:
        """Begin no further lookup."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def parse_url(text: str) -> URL:
    """The URL in the form that is dialled: absolute, http or https, without userinfo and fragment.

    Raises ValueError, with a reason fit to be shown, for any other string and for one over 2,048 characters.
    """
    if len(text) > MAX_URL_LENGTH:
        raise ValueError(f"a URL has at most {MAX_URL_LENGTH} characters")
    if _CONTROL_OR_SPACE.search(text) or "\\" in text:
        raise ValueError("a URL holds no space, backslash or control character")
    try:
        url = URL(text).with_fragment(None)
    except ValueError:
        # The cause quotes the URL, and a URL may hold a token.
        raise ValueError("it is not a URL") from None
    if url.scheme not in ("http", "https"):
        raise ValueError("a URL begins with http:// or https://")
    _check_authority(text, url)
    if len(str(url)) > MAX_URL_LENGTH:
        raise ValueError(f"a URL has at most {MAX_URL_LENGTH} characters once it is percent-encoded")
    return url


def _check_authority(text: str, url: URL) -> None:
    if url.raw_user is not None or url.raw_password is not None:
        raise ValueError("a URL holds no user name and no password")
    host = url.raw_host or ""
    if ":" not in host and not HOST_NAME.fullmatch(host.removesuffix(".")):
        raise ValueError("a URL names a host")
    written = _AUTHORITY.fullmatch(text)
    if written is None:
        raise ValueError("the port of a URL is a number of one to five digits")
    if written["inside"] is not None and not _is_ipv6(written["inside"]):
        raise ValueError("a URL holds nothing but an IPv6 address in brackets")


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text.partition("%")[0])  # behind it the name of an interface, which ``literal`` refuses
    except ValueError:
        return False
    return True


def normal_url(text: str) -> str:
    """The URL in its normal form, without its fragment; raises ValueError with a reason fit to be shown."""
    return str(parse_url(text))


def is_public(address: Address) -> bool:
    """Whether the address is one that anybody on the Internet can reach, and carries no other address inside."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _DENIED_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _DENIED_V6)


class Guard:
    """Decides, without any I/O, where requests may go: https on the ports 443, 80 and 8443 of public addresses.

    Inside ``allow_nets`` any port goes, and http too. Only the operator sets them, never who gives the URLs.
    """

    def __init__(self, allow_nets: tuple[Network, ...] = ()) -> None:
        self.allow_nets = allow_nets

    def check_url(self, text: str) -> URL:
        """The URL to dial, if it may be dialled as far as can be told before its name is resolved.

        Raises ValueError where it is no URL, ForbiddenDestination where the guard refuses.
        """
        url = parse_url(text)
        host, port = url.raw_host or "", url.port or 0
        spelt = literal(host)
        if spelt is not None:
            self.check_address(spelt, scheme=url.scheme, port=port)
        elif not self.allow_nets:
            self.check_public(url.scheme, port)
        return url

    def check_address(self, address: Address, *, scheme: str, port: int) -> None:
        """Raise ForbiddenDestination if no connection may be made to this address."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            # ::ffff:a.b.c.d is only another spelling: the kernel dials a.b.c.d.
            address = address.ipv4_mapped
        if any(address in network for network in self.allow_nets):
            return
        if not is_public(address):
            raise ForbiddenDestination(
                "the destination is not a public address; WIREROOM_WEBHOOK_ALLOW_NETS may allow its network"
            )
        self.check_public(scheme, port)

    def check_public(self, scheme: str, port: int) -> None:
        """Raise ForbiddenDestination if nothing is spoken so on this port of a public address."""
        if scheme != "https":
            raise ForbiddenDestination(
                "http is allowed only in the networks that the operator lists in WIREROOM_WEBHOOK_ALLOW_NETS"
            )
        if port not in PUBLIC_PORTS:
            raise ForbiddenDestination(
                "other ports than 443, 80 and 8443 are allowed only in the networks of WIREROOM_WEBHOOK_ALLOW_NETS"
            )


def literal(host: str) -> Address | None:
    """The address that a host spells out; None for a name; ForbiddenDestination for a spelling of doubt."""
    if ":" in host:
        try:
            address = ip_address(host)
        except ValueError:
            raise ForbiddenDestination("the destination is not an IP address") from None
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            raise ForbiddenDestination("the destination names an interface of this machine")
        return address
    # Everything that inet_aton takes ends in a number (2130706433, 0x7f.1, 0177.0.0.1, 127.1); of these only
    # the plain dotted quad is read alike by everybody. The rule is that of the URL Standard, section 3.5.
    if not _ENDS_IN_NUMBER.fullmatch(host.removesuffix(".")):
        return None
    try:
        return IPv4Address(host)
    except ValueError:
        raise ForbiddenDestination("the destination is a number, but not an IPv4 address in its plain form") from None


class GuardedResolver:
    """Resolves names, and fails where the guard refuses any of the addresses.

    Lookups of one name at the same time are one; what it said is remembered for 10 seconds, and checked each time.
    """

    def __init__(self, guard: Guard, resolver: Resolver) -> None:
        self._guard = guard
        self._resolver = resolver
        self._asking: dict[str, asyncio.Task[Sequence[Address]]] = {}
        self._remembered: dict[str, tuple[float, Sequence[Address]]] = {}

    async def resolve(self, host: str, *, scheme: str, port: int) -> Sequence[Address]:
        """The addresses of a host, all of them checked. Unresolved, or ForbiddenDestination."""
        spelt = literal(host)
        addresses = await self._look_up(host) if spelt is None else [spelt]
        for address in addresses:
            self._guard.check_address(address, scheme=scheme, port=port)
        return addresses

    def close(self) -> None:
        """Give up what is being asked; nobody may be waiting for it any more."""
        for asking in self._asking.values():
            asking.cancel()
        self._resolver.close()

    async def _look_up(self, host: str) -> Sequence[Address]:
        until, addresses = self._remembered.get(host, (0.0, ()))
        if until > asyncio.get_running_loop().time():
            return addresses
        asking = self._asking.get(host)
        if asking is None:
            asking = self._asking[host] = asyncio.create_task(self._ask(host))
            asking.add_done_callback(_retrieve)
        # Whoever asked first may give up: the others still want to know.
        return await asyncio.shield(asking)

    async def _ask(self, host: str) -> Sequence[Address]:
        try:
            addresses = await self._resolver.resolve(host)
        except (OSError, ValueError):
            # Python's getaddrinfo encodes the name by IDNA first: a UnicodeError, which is a ValueError.
            raise Unresolved("the host name does not resolve") from None
        finally:
            del self._asking[host]
        if not addresses:
            raise Unresolved("the host name does not resolve")
        self._remembered.pop(host, None)
        if len(self._remembered) >= _MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[host] = (asyncio.get_running_loop().time() + _REMEMBERED_S, addresses)
        return addresses


def _retrieve(asked: asyncio.Task[Sequence[Address]]) -> None:
    """Look at the end of a lookup that nobody may wait for any more: asyncio would complain of an error unseen."""
    if not asked.cancelled():
        asked.exception()
