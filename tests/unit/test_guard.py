"""The decisions of the guard, without any I/O."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channels.guard import ForbiddenDestination, Guard, GuardedResolver, Unresolved, is_public, normal_url, parse_url
from tests.support import forbidden
from tests.support.webhooks import NameServer

PUBLIC = [
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2001:1::1",
    "2001:3::1",
    "2001:30::1",
    "2001:db7::1",
    "2001:db9::1",
    "2001:4860:4860::8888",
    "2003::1",
    "2606:4700:4700::1111",
    "3ffe::1",
    "3fff:1000::",
]


def admits(guard: Guard, url: str) -> bool:
    try:
        guard.check_url(url)
    except ForbiddenDestination:
        return False
    return True


def mapped(address: IPv4Address) -> IPv6Address:
    return IPv6Address(0xFFFF_0000_0000 + int(address))


@pytest.mark.parametrize("network", forbidden.RANGES_V4 + forbidden.RANGES_V6)
def test_both_ends_of_every_denied_range_are_refused(network: str) -> None:
    for address in (ip_network(network)[0], ip_network(network)[-1]):
        host = f"[{address}]" if address.version == 6 else str(address)
        assert not is_public(address)
        assert not admits(Guard(), f"https://{host}/")
        with pytest.raises(ForbiddenDestination):
            Guard().check_address(address, scheme="https", port=443)


@pytest.mark.parametrize("network", forbidden.RANGES_V4)
def test_a_denied_range_is_refused_in_every_ipv6_spelling(network: str) -> None:
    for address in (IPv4Address(int(ip_network(network)[0])), IPv4Address(int(ip_network(network)[-1]))):
        groups = f"{int(address) >> 16:x}:{int(address) & 0xFFFF:x}"
        for host in (
            f"::ffff:{address}",
            f"::ffff:{groups}",
            f"0:0:0:0:0:FFFF:{groups}",
            f"::{address}",
            f"::ffff:0:{address}",
            f"64:ff9b::{address}",
            f"64:ff9b:1::{address}",
            f"2002:{groups}::1",
            f"2001:0:{groups}::1",
        ):
            assert not admits(Guard(), f"https://[{host}]/"), host


@pytest.mark.parametrize("text", PUBLIC)
def test_the_neighbours_of_denied_ranges_are_public(text: str) -> None:
    address = ip_address(text)
    assert is_public(address)
    assert admits(Guard(), f"https://[{text}]/" if address.version == 6 else f"https://{text}/")


def test_a_mapped_address_is_judged_as_what_it_maps() -> None:
    assert admits(Guard(), "https://[::ffff:8.8.8.8]/")
    assert admits(Guard((ip_network("10.0.0.0/8"),)), "http://[::ffff:10.1.2.3]:81/")
    Guard().check_address(mapped(IPv4Address("8.8.8.8")), scheme="https", port=443)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7F.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.1",
        "0",
        "0x",
        "127.0.0.1.",
        "0127.0.0.1",
        "8.8.2056",
        "134744072",
        "1.2.3.4.5",
        "256.256.256.256",
        "09.1.1.1",
        "example.0x7f",
        "example.1",
    ],
)
def test_a_number_that_is_no_plain_dotted_quad_is_refused(host: str) -> None:
    for guard in (Guard(), Guard((ip_network("0.0.0.0/0"),))):
        assert not admits(guard, f"https://{host}/")


@pytest.mark.parametrize("host", ["①②⑦.⓪.⓪.①", "127。0。0。1", "\uff11\uff12\uff17.0.0.1"])
def test_what_unicode_folds_into_loopback_is_refused(host: str) -> None:
    assert not admits(Guard(), f"https://{host}/")


@pytest.mark.parametrize("host", ["fe80::1%eth0", "fe80::1%25eth0", "::1%0", "2606:4700:4700::1111%1"])
def test_an_interface_in_an_address_is_refused(host: str) -> None:
    with pytest.raises((ForbiddenDestination, ValueError)):
        Guard((ip_network("::/0"),)).check_url(f"https://[{host}]/")


_PART = st.one_of(
    st.integers(0, 1 << 32).map(str),
    st.integers(0, 1 << 32).map(hex),
    st.integers(0, 1 << 32).map("0{:o}".format),
    st.sampled_from(["0x", "0X7f", "00", "a", "x", "-1", ""]),
)


@given(st.lists(_PART, min_size=1, max_size=5).map(".".join))
@example("127.0.0.1")
@example("0x7f.1")
def test_no_spelling_that_inet_aton_takes_passes_unless_it_is_plain(host: str) -> None:
    try:
        socket.inet_aton(host)
    except OSError:
        return
    try:
        admitted = Guard().check_url(f"https://{host}/")
    except (ForbiddenDestination, ValueError):
        return
    assert admitted.raw_host == host
    assert is_public(IPv4Address(host))


@given(st.integers(0, (1 << 32) - 1).map(IPv4Address))
def test_an_ipv4_address_counts_the_same_plain_and_mapped(address: IPv4Address) -> None:
    assert admits(Guard(), f"https://{address}/") == admits(Guard(), f"https://[{mapped(address)}]/")


@pytest.mark.parametrize(
    ("url", "admitted"),
    [
        ("https://example.com/", True),
        ("https://example.com:443/", True),
        ("https://example.com:80/", True),
        ("https://example.com:8443/", True),
        ("https://example.com:8080/", False),
        ("https://example.com:22/", False),
        ("https://example.com:0/", False),
        ("https://example.com:65535/", False),
        ("http://example.com/", False),
        ("http://example.com:443/", False),
        ("http://8.8.8.8/", False),
        ("https://8.8.8.8:8080/", False),
    ],
)
def test_schemes_and_ports_outside_allowed_networks(url: str, admitted: bool) -> None:
    assert admits(Guard(), url) is admitted


def test_inside_an_allowed_network_http_and_every_port_go() -> None:
    guard = Guard((ip_network("10.1.0.0/16"), ip_network("fd00::/8")))
    assert admits(guard, "http://10.1.2.3:8080/")
    assert admits(guard, "https://10.1.255.255:1/")
    assert admits(guard, "http://[fd00:ec2::254]/")
    assert not admits(guard, "https://10.2.0.0/")
    assert not admits(guard, "http://8.8.8.8/")
    assert not admits(guard, "https://8.8.8.8:8080/")
    assert admits(guard, "https://8.8.8.8/")
    assert not admits(guard, "https://[fe80::1]/")


def test_where_networks_are_allowed_a_name_is_judged_by_its_addresses() -> None:
    guard = Guard((ip_network("10.0.0.0/8"),))
    assert admits(guard, "http://example.com:8080/")
    guard.check_address(ip_address("10.0.0.1"), scheme="http", port=8080)
    for scheme, port in (("http", 443), ("https", 8080)):
        with pytest.raises(ForbiddenDestination):
            guard.check_address(ip_address("8.8.8.8"), scheme=scheme, port=port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "//example.com/",
        "/path",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https:example.com",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://user:word@example.com/",
        "https://:word@example.com/",
        "https://exa mple.com/",
        "https://example.com/a b",
        "https://example.com/\r\nX: y",
        "https://example.com/\x00",
        "https://example.com/\x7f",
        "https://exa\tmple.com/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com\\.internal/",
        "https://[::1",
        "https://[example]/",
        "https://example.com:65536/",
        "https://example.com:-1/",
        "https://example.com:http/",
        "https://example.com:1_8801/",
        "https://example.com:+18801/",
        "https://example.com:١٨٨٠١/",
        "https://example.com:000443/",
        "https://example.com:/",
        "https://[2606:4700::1]:+443/",
        "https://[v1.x]/",
        "https://[V1.x]:443/",
        "https://[v1.fe80::1]/",
        "https://example..com/",
        "https://.example.com/",
        "https://127.0.0.1%2f.example.com/",
        "https://exa%6dple.com/",
        f"https://{'a' * 64}.com/",
        f"https://{'a.' * 127}com/",
        f"https://example.com/{'a' * 2029}",
        f"https://example.com/{'ä' * 1000}",
    ],
)
def test_what_is_no_url_to_send_to(text: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        parse_url(text)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("https://example.com", "https://example.com"),
        ("HTTPS://EXAMPLE.com:443/a?b=c#d", "https://example.com/a?b=c"),
        ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("https://[2606:4700::0001]", "https://[2606:4700::1]"),
        ("https://example.com:08443?a=:x_1", "https://example.com:8443/?a=:x_1"),
        ("https://example.com/:1_8801/[v1.x]@", "https://example.com/:1_8801/%5Bv1.x%5D@"),
        ("https://example.com#:1_1", "https://example.com"),
        ("https://example.com./", "https://example.com./"),
        ("https://example.com/%2F?token=a%26b+c", "https://example.com/%2F?token=a%26b+c"),
        (f"https://example.com/{'a' * 2028}", f"https://example.com/{'a' * 2028}"),
    ],
)
def test_the_normal_form_of_a_url(text: str, normal: str) -> None:
    assert normal_url(text) == normal
    assert normal_url(normal) == normal


def test_no_refusal_repeats_the_url() -> None:
    for url in ("https://127.0.0.1/secret", "http://example.com/secret", "https://0x7f.1/secret"):
        with pytest.raises(ForbiddenDestination) as refused:
            Guard().check_url(url)
        assert "secret" not in str(refused.value)
        assert "127" not in str(refused.value)
    with pytest.raises(ValueError, match="URL") as malformed:
        parse_url("https://user:secret@example.com/")
    assert "secret" not in str(malformed.value)


async def test_a_remembered_name_is_checked_for_each_use() -> None:
    names = NameServer([["8.8.8.8", "2606:4700:4700::1111"], ["127.0.0.1"]])
    resolver = GuardedResolver(Guard((ip_network("10.0.0.0/8"),)), names)
    both = [ip_address("8.8.8.8"), ip_address("2606:4700:4700::1111")]
    assert await resolver.resolve("hooks.example", scheme="https", port=443) == both
    for scheme, port in (("http", 80), ("https", 22)):
        with pytest.raises(ForbiddenDestination):
            await resolver.resolve("hooks.example", scheme=scheme, port=port)
    assert await resolver.resolve("hooks.example", scheme="https", port=8443) == both
    assert names.asked == ["hooks.example"]


async def test_so_many_names_are_remembered_and_no_more() -> None:
    names = NameServer([["8.8.8.8"]])
    resolver = GuardedResolver(Guard(), names)
    for number in (*range(4097), 1, 0):
        await resolver.resolve(f"{number}.example", scheme="https", port=443)
    assert names.asked == [f"{number}.example" for number in (*range(4097), 0)]


async def test_an_address_needs_no_name_server() -> None:
    names = NameServer([[]])
    resolver = GuardedResolver(Guard(), names)
    assert await resolver.resolve("8.8.8.8", scheme="https", port=443) == [ip_address("8.8.8.8")]
    for host in ("127.0.0.1", "::1", "0x7f.1", "fe80::1%lo"):
        with pytest.raises(ForbiddenDestination):
            await resolver.resolve(host, scheme="https", port=443)
    assert names.asked == []
    with pytest.raises(Unresolved):
        await resolver.resolve("hooks.example", scheme="https", port=443)
