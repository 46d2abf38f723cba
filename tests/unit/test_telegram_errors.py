"""What the Bot API's refusals mean."""

from typing import Any

import msgspec
import pytest

from channels.errors import Blame, Limited, Misconfigured, Permanent, SendError, Transient, Unknown
from channels.telegram_errors import Migrated, Reading, verdict
from models.vocabulary import FailureReason


def read(status: int, description: str, reading: Reading | None = None, **parameters: Any) -> SendError:
    payload = {"ok": False, "error_code": status, "description": description, "parameters": parameters}
    return verdict(status, msgspec.json.encode(payload), reading or Reading())


@pytest.mark.parametrize(
    ("status", "description"),
    [
        (403, "Forbidden: bot was blocked by the user"),
        (400, "Bad Request: USER_IS_BLOCKED"),
        (403, "Forbidden: bot was kicked from the group chat"),
        (403, "Forbidden: bot was kicked from the supergroup chat"),
        (403, "Forbidden: bot is not a member of the channel chat"),
        (403, "Forbidden: bot can't initiate conversation with a user"),
        (400, "Bad Request: chat not found"),
        (400, "Bad Request: PEER_ID_INVALID"),
        (400, "Bad Request: user not found"),
    ],
)
def test_a_chat_that_is_dead_for_this_bot(status: int, description: str) -> None:
    ended = read(status, description)
    assert isinstance(ended, Permanent)
    assert (ended.reason, ended.hard, ended.bounced, ended.code) == (FailureReason.BLOCKED, True, True, str(status))
    assert ended.detail.lower() in description.lower()


@pytest.mark.parametrize(
    ("status", "description"),
    [
        (403, "Forbidden: user is deactivated"),
        (400, "Bad Request: INPUT_USER_DEACTIVATED"),
        (403, "Forbidden: bot can't send messages to bots"),
        (403, "Forbidden: the group chat was deleted"),
        (400, "Bad Request: group chat was deactivated"),
    ],
)
def test_a_chat_that_is_dead_for_every_bot(status: int, description: str) -> None:
    ended = read(status, description)
    assert isinstance(ended, Permanent)
    assert (ended.reason, ended.hard, ended.bounced, ended.code) == (
        FailureReason.ADDRESS_DEAD,
        True,
        True,
        str(status),
    )
    assert ended.detail.lower() in description.lower()


@pytest.mark.parametrize(
    ("status", "description", "reason"),
    [
        (400, "Bad Request: not enough rights to send text messages to the chat", FailureReason.POLICY),
        (400, "Bad Request: need administrator rights in the channel chat", FailureReason.POLICY),
        (403, "Forbidden: CHAT_WRITE_FORBIDDEN", FailureReason.POLICY),
        (400, "Bad Request: message is too long", FailureReason.TOO_LARGE),
        (400, "Bad Request: message caption is too long", FailureReason.TOO_LARGE),
        (413, "Request Entity Too Large", FailureReason.TOO_LARGE),
        (400, "Bad Request: message text is empty", FailureReason.RENDER_ERROR),
        (400, "Bad Request: wrong file identifier/HTTP URL specified", FailureReason.REJECTED),
        (400, "Bad Request: something new", FailureReason.REJECTED),
        (403, "Forbidden: something new", FailureReason.REJECTED),
        (400, "Bad Request: BUTTON_USER_INVALID: user not found", FailureReason.REJECTED),
        (400, "Bad Request: reply markup: chat not found", FailureReason.REJECTED),
    ],
)
def test_a_message_that_is_refused_for_good(status: int, description: str, reason: FailureReason) -> None:
    ended = read(status, description)
    assert isinstance(ended, Permanent)
    assert (ended.reason, ended.hard, ended.bounced) == (reason, False, False)


@pytest.mark.parametrize(
    ("status", "description"),
    [
        (503, "Service Unavailable"),
        (400, "Bad Request: failed to get HTTP URL content"),
        (403, "Forbidden: bot can't send messages to the user"),
        (302, ""),
        (418, "teapot"),
    ],
)
def test_what_passes(status: int, description: str) -> None:
    ended = read(status, description)
    assert type(ended) is Transient
    assert ended.blame is (Blame.SENDER if status == 503 else Blame.RECIPIENT)


@pytest.mark.parametrize("status", [500, 502, 504, 599])
def test_a_gateway_that_gives_up_may_have_posted_the_message(status: int) -> None:
    ended = read(status, "Bad Gateway")
    assert type(ended) is Unknown
    assert (ended.code, ended.blame) == (str(status), Blame.SENDER)
    assert type(read(status, "Bad Gateway", retry_after=3)) is Limited  # that is an answer, and no


@pytest.mark.parametrize(("status", "said"), [(401, "Unauthorized"), (404, "Not Found"), (400, "Logged out")])
def test_a_wrong_token_is_our_own_fault(status: int, said: str) -> None:
    assert type(read(status, said)) is Misconfigured


@pytest.mark.parametrize(
    ("given", "rest_s"), [({"retry_after": 35}, 35.0), ({}, 5.0), ({"retry_after": 1e9}, 86_400.0)]
)
def test_too_many_requests_rest_the_bot(given: dict[str, Any], rest_s: float) -> None:
    ended = read(429, "Too Many Requests: retry after 35", **given)
    assert isinstance(ended, Limited)
    assert (ended.retry_after_s, ended.whole) == (rest_s, True)


def test_a_group_that_became_a_supergroup() -> None:
    words = "Bad Request: group chat was upgraded to a supergroup chat"
    with pytest.raises(Migrated) as caught:
        read(400, words, migrate_to_chat_id=-1001234567890)
    assert caught.value.chat == "-1001234567890"


def test_the_parsers_words_count_from_the_bodys_beginning_and_quote_the_template_alone() -> None:
    words = 'Bad Request: can\'t parse entities: Unsupported start tag "x" at byte offset 20'
    ended = read(400, words, Reading(head_bytes=20, tags=frozenset({"x"})))
    assert isinstance(ended, Permanent)
    assert ended.reason is FailureReason.RENDER_ERROR
    assert ended.detail == 'can\'t parse entities: Unsupported start tag "x" at byte offset 0'
    ended = read(
        400, 'Bad Request: can\'t parse entities: Unsupported start tag "ann@example.org" at byte offset 123456'
    )
    assert ended.detail == "can't parse entities: Unsupported start tag … at byte offset 123456"
    ended = read(400, "Bad Request: can't parse entities: Character '.' is reserved and must be escaped")
    assert ended.detail == "can't parse entities: Character '.' is reserved and must be escaped"


@pytest.mark.parametrize(
    "payload", [b"", b"<html>", b"[]", b'{"description":5}', b"\xff", b'{"parameters":{"retry_after":"x"}}']
)
def test_answers_that_are_no_answers(payload: bytes) -> None:
    assert type(verdict(502, payload, Reading())) is Unknown
    assert type(verdict(400, payload, Reading())) is Permanent


def test_what_is_quoted_is_not_repeated() -> None:
    ended = read(400, "Bad Request: inline keyboard button URL 'https://a.example/ann' is invalid for 123456789")
    assert ended.detail == "Bad Request: inline keyboard button URL … is invalid for …"
