"""Where no webhook may go: every denied range at both ends, and every spelling that has led somewhere else."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Final

RANGES_V4: Final = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
)
RANGES_V6: Final = (
    "::/128",
    "::1/128",
    "::/96",
    "::ffff:0:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)
METADATA: Final = IPv4Address("169.254.169.254")


def addresses() -> list[str]:
    """Both ends of every range, and the addresses that clouds answer from."""
    v4 = [str(end) for each in RANGES_V4 for end in (IPv4Network(each)[0], IPv4Network(each)[-1])]
    v6 = [str(end) for each in RANGES_V6 for end in (IPv6Network(each)[0], IPv6Network(each)[-1])]
    return [*v4, *v6, "::1", "127.0.0.1", str(METADATA), "100.100.100.200", "fd00:ec2::254"]


def hosts() -> list[str]:
    """The same as hosts of a URL; IPv4 in IPv6 in all its spellings; numbers, names and digits of other kinds."""
    found = [f"[{each}]" if ":" in each else each for each in addresses()]
    for network in RANGES_V4:
        for end in (IPv4Network(network)[0], IPv4Network(network)[-1]):
            found += [f"[{each}]" for each in carrying(end)]
    for address in (IPv4Address("127.0.0.1"), IPv4Address("10.0.0.1"), METADATA):
        found += other_spellings(address)
    return found


def carrying(address: IPv4Address) -> list[str]:
    """IPv6 addresses that are, or carry, an IPv4 address."""
    high, low = int(address) >> 16, int(address) & 0xFFFF
    groups, inverted = f"{high:x}:{low:x}", f"{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}"
    return [
        f"::ffff:{address}",
        f"::ffff:{groups}",
        f"0:0:0:0:0:FFFF:{groups}",
        f"0000:0000:0000:0000:0000:ffff:{high:04x}:{low:04x}",
        f"::{address}",  # compatible (RFC 4291)
        f"::ffff:0:{address}",  # translated (RFC 2765)
        f"64:ff9b::{address}",  # NAT64 (RFC 6052)
        f"64:ff9b::{groups}",
        f"64:ff9b:1::{address}",  # NAT64, of a network's own (RFC 8215)
        f"64:ff9b:1:{high:x}:{low >> 8:x}:{(low & 0xFF) << 8:x}::",  # the same by a /48 (RFC 6052, section 2.2)
        f"2002:{groups}::1",  # 6to4
        f"2001:0:{groups}::1",  # Teredo's server
        f"2001::{inverted}",  # Teredo's client, inverted (RFC 4380)
    ]


def other_spellings(address: IPv4Address) -> list[str]:
    """What libraries have read as this address: decimal, octal, hexadecimal, short, full-width, with a dot behind."""
    number = int(address)
    a, b, c, d = address.packed
    wide = str(address).translate({ord("0") + digit: chr(0xFF10 + digit) for digit in range(10)})
    return [
        str(number),
        hex(number),
        hex(number).upper(),
        f"0{number:o}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        f"{a:#x}.{b:#x}.{c:#x}.{d:#x}",
        f"{a:#x}.{b}.0{c:o}.{d}",
        f"{a}.{number & 0xFFFFFF}",
        f"{a}.{b}.{number & 0xFFFF}",
        f"{a:03}.{b:03}.{c:03}.{d:03}",
        f"{address}.",
        f"{number}.",
        wide,
        f"{a}\u3002{b}\uff0e{c}\uff61{d}",  # the dots of East Asian scripts
    ]
