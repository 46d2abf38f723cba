"""Inbox tokens: for one contact, until a time, under any of the keys, and nothing else's."""

import base64

from models.ids import new_id
from models.inbox_tokens import Grant, InboxTokens
from models.tokens import Purpose, Ref, TokenMaker

OLD, NEW = b"o" * 32, b"n" * 32
GRANT = Grant(new_id(), 2_000)


def test_it_is_read_until_its_end() -> None:
    tokens = InboxTokens([NEW])
    token = tokens.make(GRANT)
    assert len(token) == 80
    assert token.replace("-", "").replace("_", "").isalnum()
    assert tokens.read(token, 1_999.9) == GRANT
    assert tokens.read(token, 2_000) is None


def test_keys_rotate() -> None:
    token = InboxTokens([OLD]).make(GRANT)
    assert InboxTokens([NEW, OLD]).read(token, 0) == GRANT
    assert InboxTokens([NEW]).read(token, 0) is None
    assert InboxTokens([OLD, NEW]).make(GRANT) == token


def test_no_bit_of_it_can_be_changed() -> None:
    tokens = InboxTokens([NEW])
    whole = base64.urlsafe_b64decode(tokens.make(GRANT))
    for position in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[position // 8] ^= 1 << position % 8
        assert tokens.read(base64.urlsafe_b64encode(changed).decode(), 0) is None


def test_what_is_no_inbox_token() -> None:
    tokens = InboxTokens([NEW])
    token = tokens.make(GRANT)
    link = TokenMaker([NEW]).make(Purpose.OPT_OUT, Ref(GRANT.contact_id, 1))
    for other in ("", "=", "x", "é", token[:-1], token + "A", f" {token}", token * 2, link, "A" * 80):
        assert tokens.read(other, 0) is None
    assert TokenMaker([NEW]).read(Purpose.OPT_OUT, token) is None
