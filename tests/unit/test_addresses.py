import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.addresses import MAX_OCTETS, check_address, parse_mailboxes


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
        ("ZoË@bücher.example", "ZoË@xn--bcher-kva.example"),
        ("zoe\u0308@example.org", "zoë@example.org"),
        ('"日 本"@example.org', '"日 本"@example.org'),
        ("ë" * 32 + "@example.org", "ë" * 32 + "@example.org"),
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
        "zo\u00a0ë@example.org",
        "zo\u0085ë@example.org",
        "zo\u202eë@example.org",
        "zo\u200bë@example.org",
        "zo\ud800ë@example.org",
        "ë\u037e@example.org",  # in NFC a semicolon
        "ë" * 33 + "@example.org",
        "日" * 100_000 + "@example.org",
        '"=?utf-8?q?x?="@example.org',
        '"=?"@example.org',
        "=?utf-8?q?=0D=0A?=@example.org",
        "ann@" + "日" * 100_000,
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
    assert used.isprintable()
    assert len(used.encode()) <= MAX_OCTETS
    assert check_address(used) == used
    assert ">" not in used or used.startswith('"')


@pytest.mark.parametrize(
    ("text", "mailboxes"),
    [
        ("ann@Example.org", [("", "ann@example.org")]),
        ("<ann@example.org>", [("", "ann@example.org")]),
        ("A. B. <a@example.org> , b@example.org", [("A. B.", "a@example.org"), ("", "b@example.org")]),
        ('"a, \\"b\\"" <a@example.org>', [('a, "b"', "a@example.org")]),
        ('"a,b"@example.org', [("", '"a,b"@example.org')]),
        ("Zoë  日本<z@example.org>", [("Zoë 日本", "z@example.org")]),
    ],
)
def test_lists_of_addresses_are_read(text: str, mailboxes: list[tuple[str, str]]) -> None:
    assert parse_mailboxes(text) == mailboxes


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "a@b,", "a@b;", 'a@b "', '"a@b', "x <a@b> y", "x@y <a@b>", "group: a@b;", "(x) a@b", "<a@b", "a@b>"),
        *("zoë@example.org", "Zoë <zoë@example.org>"),
        *("=?utf-8?q?x?= <a@b>", '"=?" <a@b>', ",".join(["a@b"] * 101), '"' * 100_001, "<" * 100_000, '"\\' * 50_001),
    ],
)
def test_other_lists_of_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|@|quot|encoded"):
        parse_mailboxes(text)


@given(st.text('ab@<>,;:"\\ =?.é()', max_size=40))
def test_any_text_is_a_list_of_addresses_or_refused(text: str) -> None:
    try:
        mailboxes = parse_mailboxes(text)
    except ValueError:
        return
    assert mailboxes
    assert all(check_address(mailbox.address) == mailbox.address for mailbox in mailboxes)
