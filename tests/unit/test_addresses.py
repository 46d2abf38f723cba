import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.addresses import MAX_OCTETS, check_address


@pytest.mark.parametrize(
    ("given_address", "used"),
    [
        ("ann@example.org", "ann@example.org"),
        ("Ann.B+tag@EXAMPLE.Org", "Ann.B+tag@example.org"),
        ("o'neil_{x}!#$%&*/=?^`|~-@a-b.example", "o'neil_{x}!#$%&*/=?^`|~-@a-b.example"),
        ("root@localhost", "root@localhost"),
        ('"a b\\"@c"@example.org', '"a b\\"@c"@example.org'),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
        ("ann@straße.example", "ann@xn--strae-oqa.example"),
        ("ann@例え.テスト", "ann@xn--r8jz45g.xn--zckzah"),
        ("a@" + "b" * 63 + ".example", "a@" + "b" * 63 + ".example"),
        ("a" * 64 + "@example.org", "a" * 64 + "@example.org"),
    ],
)
def test_well_formed_addresses_are_normalised(given_address: str, used: str) -> None:
    assert check_address(given_address) == used
    assert check_address(used) == used


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "@",
        "ann",
        "ann@",
        "@example.org",
        "ann@example.org.",
        "ann@.example.org",
        "ann@exa mple.org",
        "ann@-a.example",
        "ann@a-.example",
        "ann@exa_mple.org",
        "ann@[127.0.0.1]",
        "a b@example.org",
        ".ann@example.org",
        "ann.@example.org",
        "an..n@example.org",
        "ann@b@example.org",
        "<ann@example.org>",
        "ann@example.org> SIZE=1",
        "ann@example.org\r\nRCPT TO:<bob@example.org>",
        "ann\r\n@example.org",
        "ann\x00@example.org",
        "ann@example.org\n",
        '"ann\r\n"@example.org',
        '"ann"b"@example.org',
        "zoë@example.org",
        "ann@\u2028.example",
        "ann@" + "b" * 64 + ".example",
        "a" * 65 + "@example.org",
        "a@" + ".".join(["b" * 60] * 5),
        "ann@\ud800.example",
    ],
)
def test_malformed_addresses_are_refused_without_being_repeated(malformed: str) -> None:
    with pytest.raises(ValueError, match=r"@|octets") as refused:
        check_address(malformed)
    assert len(malformed) < 3 or malformed not in str(refused.value)


def test_the_whole_address_has_its_own_limit() -> None:
    domain = ".".join(["b" * 63, "b" * 63, "b" * 63])
    longest = "a" * (MAX_OCTETS - 1 - len(domain)) + "@" + domain
    assert check_address(longest) == longest
    with pytest.raises(ValueError, match="254 octets"):
        check_address("a" + longest)


@given(st.text(), st.text())
def test_whatever_passes_is_safe_on_a_command_line(local: str, domain: str) -> None:
    try:
        used = check_address(f"{local}@{domain}")
    except ValueError:
        return
    assert used.isascii()
    assert used.isprintable()
    assert len(used) <= MAX_OCTETS
    assert ">" not in used or used.startswith('"')
