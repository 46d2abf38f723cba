from typing import Any
from uuid import UUID

import msgspec
import pytest

from api_shim import problems
from api_shim.auth import Principal
from api_shim.problems import Problem
from api_shim.workspaces.drafts import draft_of, idempotency_key, key_in_batch
from api_shim.workspaces.types import MessageRequest
from models import ids
from models.errors import Refused
from models.ids import Kind
from models.vocabulary import FailureReason, Scope

CONTACT = ids.new_id()


def caller(*scopes: Scope) -> Principal:
    return Principal(key_id=UUID(int=1), workspace_id=UUID(int=2), scopes=frozenset(scopes))


def request(**fields: Any) -> MessageRequest:
    given = {"contactId": ids.show(Kind.CONTACT, CONTACT), "channel": "EMAIL", "body": "Hello"} | fields
    return msgspec.convert(given, MessageRequest)


def refusal(**fields: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        draft_of(request(**fields), caller(), None)
    return caught.value


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (None, None),
        ("abc", "abc"),
        ('"abc"', "abc"),
        (r'"a\"b\\c"', 'a"b\\c'),
        (" abc ", "abc"),
        ("x" * 255, "x" * 255),
        ('"', '"'),
    ],
)
def test_idempotency_keys(header: str | None, key: str | None) -> None:
    assert idempotency_key(header) == key


@pytest.mark.parametrize("header", ["", '""', "x" * 256, "a b", "é", "a\tb"])
def test_what_is_no_idempotency_key(header: str) -> None:
    with pytest.raises(Problem) as caught:
        idempotency_key(header)
    assert caught.value.type is problems.INVALID_HEADER


def test_the_keys_of_a_batch_differ_and_fit() -> None:
    keys = {key_in_batch("x" * 255, position) for position in range(3)} | {key_in_batch("y", 0)}
    assert len(keys) == 4
    assert all(len(key) <= 255 for key in keys)


def test_the_fingerprint_is_of_what_is_asked_for_and_not_of_its_spelling() -> None:
    def fingerprint(**fields: Any) -> bytes:
        idempotency = draft_of(request(**fields), caller(), "key").idempotency
        assert idempotency is not None
        return idempotency.fingerprint

    assert fingerprint(metadata={"a": 1, "b": 2}) == fingerprint(metadata={"b": 2, "a": 1}, step=1)
    assert fingerprint() != fingerprint(subject="x")


def test_both_prefixes_name_the_same_contact() -> None:
    other = f"cust_{ids.encode(CONTACT)}"
    assert draft_of(request(contactId=other), caller(), None).contact_id == CONTACT


def test_an_unknown_contact() -> None:
    assert refusal(contactId="ct_1").type is problems.NOT_FOUND


def test_neither_body_nor_template() -> None:
    problem = refusal(body=None)
    assert problem.type is problems.MISSING_FIELD
    assert problem.body.errors[0].pointer == "#/body"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"channel": "PUSH", "to": "x"}, "#/to"),
        (
            {"channel": "WEBHOOK", "attachments": [{"filename": "a", "contentType": "a/b", "content": b"x"}]},
            "#/attachments",
        ),
        ({"channel": "ONSITE", "headers": {"X-A": "b"}}, "#/headers"),
        ({"headers": {"Subject": "x"}}, "#/headers"),
        ({"headers": {"a b": "x"}}, "#/headers"),
        ({"channel": "WEBHOOK", "headers": {"webhook-id": "x"}}, "#/headers"),
        ({"options": {"ttl": 5}}, "#/options/ttl"),
        ({"channel": "ONSITE", "options": {"ttl": 5}}, "#/options/ttl"),
        ({"channel": "TELEGRAM", "options": {"photo": "https://a.example/a", "document": "0123456789"}}, "#/options"),
        ({"channel": "TELEGRAM", "options": {"document": "/etc/hostname"}}, "#/options"),
        ({"channel": "TELEGRAM", "options": {"buttons": [{"text": "a"}]}}, "#/options"),
        ({"channel": "TELEGRAM", "options": {"buttons": [[{"text": "a", "url": "javascript:0"}]]}}, "#/options"),
        ({"channel": "TELEGRAM", "options": {"buttons": [{"text": "a", "callbackData": "é" * 33}]}}, "#/options"),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, Any], pointer: str) -> None:
    problem = refusal(**fields)
    assert problem.type is problems.INVALID_BODY
    assert problem.body.errors[0].pointer == pointer


def test_options_of_the_channel() -> None:
    draft = draft_of(request(channel="PUSH", options={"ttl": 5, "urgency": "high"}), caller(), None)
    assert draft.options == {"ttl": 5, "urgency": "high"}


def test_telegram_buttons_are_kept_in_rows_or_without() -> None:
    buttons = [
        {"text": "Open", "url": "https://example.org"},
        [{"text": "Yes", "callbackData": "y"}, {"text": "No", "callbackData": "n"}],
    ]
    draft = draft_of(request(channel="TELEGRAM", options={"buttons": buttons}), caller(), None)
    assert draft.options == {"buttons": buttons}


def test_essential_needs_a_scope_of_its_own() -> None:
    assert refusal(essential=True).type is problems.MISSING_SCOPE
    assert draft_of(request(essential=True), caller(Scope.ESSENTIAL), None).essential


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("templateId", FailureReason.UNKNOWN_TEMPLATE),
        ("campaignId", FailureReason.UNKNOWN_CAMPAIGN),
        ("journeyId", FailureReason.UNKNOWN_JOURNEY),
    ],
)
def test_unknown_references_are_refused(field: str, reason: FailureReason) -> None:
    with pytest.raises(Refused) as caught:
        draft_of(request(**{field: "nothing"}), caller(), None)
    assert (caught.value.reason, caught.value.pointer) == (reason, f"/{field}")


def test_times_become_milliseconds() -> None:
    draft = draft_of(request(sendAt="2026-01-15T11:00:00+01:00"), caller(), None)
    assert draft.send_at == 1_768_471_200_000


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z"]
)
@pytest.mark.parametrize("field", ["sendAt", "expiresAt"])
def test_times_that_could_not_be_shown(field: str, text: str) -> None:
    assert refusal(**{field: text}).body.errors[0].pointer == f"#/{field}"


@pytest.mark.parametrize(
    ("fields", "reason", "pointer"),
    [
        (
            {"headers": {"X-A": "é=?utf-8?q?=0D=0ABcc:_e=40x.example?="}},
            FailureReason.HEADER_INJECTION,
            "#/headers/X-A",
        ),
        ({"headers": {"X-A/~%": "a\u2028b"}}, FailureReason.HEADER_INJECTION, "#/headers/X-A~1~0%25"),
        ({"headers": {"X-A": "a\x85b"}}, FailureReason.HEADER_INJECTION, "#/headers/X-A"),
        ({"headers": {"X-A": "a", "X-B": "x" * 999}}, FailureReason.RENDER_ERROR, "#/headers/X-B"),
        ({"headers": {"Reply-To": 'é: a@b, c@d;;;"'}}, FailureReason.INVALID_ADDRESS, "#/headers/Reply-To"),
        ({"headers": {"X-A": "a", "x-a": "b"}}, FailureReason.HEADER_INJECTION, "/headers"),
        (
            {"attachments": [{"filename": "a", "contentType": "a/b", "content": b"x", "contentId": "=?utf-8?q?x?="}]},
            FailureReason.HEADER_INJECTION,
            "#/attachments/0",
        ),
    ],
)
def test_what_no_mail_may_hold_is_refused_before_it_is_accepted(
    fields: dict[str, Any], reason: FailureReason, pointer: str
) -> None:
    with pytest.raises(Refused) as caught:
        draft_of(request(**fields), caller(), None)
    assert (caught.value.reason, caught.value.pointer) == (reason, pointer)


@pytest.mark.parametrize("control", ["\n", "\x7f", "\x80", "\x85", "\x9f", "\u2028", "\u2029"])
@pytest.mark.parametrize("field", ["filename", "contentType", "contentId"])
def test_no_file_has_a_control_character_in_its_names(field: str, control: str) -> None:
    file = {"filename": "a", "contentType": "text/plain", "content": b"x", "contentId": "c"}
    request(attachments=[file])
    for value in (f"a{control}", f"a/b{control}", f"{control}a"):
        with pytest.raises(msgspec.ValidationError):
            request(attachments=[file | {field: value}])


def test_headers_that_a_mail_may_hold() -> None:
    headers = {"Reply-To": "Zoë <zoe@example.org>, b@example.org", "X-A": "é " * 900, "X-B": "x " * 900}
    assert draft_of(request(headers=headers), caller(), None).headers == headers
