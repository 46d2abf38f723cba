"""Tokens in our own links: what they stand for, and what they do not open."""

import pytest

from models.ids import new_id
from models.tokens import Links, Purpose, Ref, TokenMaker

OLD, NEW = b"a former secret key of this house", b"the secret key of this house now"


@pytest.fixture
def maker() -> TokenMaker:
    return TokenMaker([NEW, OLD])


@pytest.mark.parametrize("purpose", Purpose)
def test_a_token_is_read_for_its_own_purpose_alone(maker: TokenMaker, purpose: Purpose) -> None:
    ref = Ref(new_id(), 3, 7)
    token = maker.make(purpose, ref)
    assert {each: maker.read(each, token) for each in Purpose} == {
        each: ref if each is purpose else None for each in Purpose
    }


def test_a_former_key_is_read_and_an_unknown_one_is_not(maker: TokenMaker) -> None:
    ref = Ref(new_id(), 1)
    token = TokenMaker([OLD]).make(Purpose.CLICK, ref)
    assert maker.read(Purpose.CLICK, token) == ref
    assert TokenMaker([NEW]).read(Purpose.CLICK, token) is None


def test_a_token_with_any_character_changed_is_none(maker: TokenMaker) -> None:
    token = maker.make(Purpose.OPEN, Ref(new_id(), 1))
    for position, character in enumerate(token):
        other = "A" if character != "A" else "Q"
        changed = token[:position] + other + token[position + 1 :]
        assert maker.read(Purpose.OPEN, changed) is None, position


@pytest.mark.parametrize("text", ["", "a", "é", "-" * 54, "A" * 54, "A" * 10_000, "a b", "=" * 8])
def test_what_was_never_a_token_is_none(maker: TokenMaker, text: str) -> None:
    assert maker.read(Purpose.OPEN, text) is None
    assert maker.read_return_path(text) is None
    assert maker.read_return_path(f"b-{text}") is None


def test_a_return_path_survives_a_change_of_case_and_fits_an_address(maker: TokenMaker) -> None:
    ref = Ref(new_id(), 2)
    local_part = maker.return_path(ref)
    assert len(local_part) <= 64
    assert maker.read_return_path(local_part) == maker.read_return_path(local_part.upper()) == ref
    assert maker.read_return_path("b-" + "a" + local_part[3:]) is None or local_part[2] == "a"


def test_links_lead_to_the_public_address(maker: TokenMaker) -> None:
    message_id = new_id()
    links = Links(maker, "https://mail.example.org/wr", message_id, 2)
    url = links.click(5)
    assert url.startswith("https://mail.example.org/wr/t/c/")
    assert maker.read(Purpose.CLICK, url.rpartition("/")[2]) == Ref(message_id, 2, 5)
    assert maker.read(Purpose.OPT_OUT, links.opt_out().rpartition("/u/")[2]) == Ref(message_id, 2)
    assert maker.read_return_path(links.return_path()) == Ref(message_id, 2)
