import json
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
import pytest
from msgspec import Meta
from starlette.requests import Request
from starlette.types import Message

from api_shim import problems
from api_shim.decoding import WHOLE_BODY, check_names, convert_query, decode, read_body
from api_shim.openapi import document
from api_shim.problems import Problem
from api_shim.routing import DOCUMENTED
from api_shim.text_forms import WORDS
from api_shim.workspaces.contact_types import ContactRequest
from api_shim.workspaces.types import MessageQuery, MessageRequest

_GOOD: dict[str, Any] = {"contactId": "ct_1", "channel": "EMAIL"}


def refusal(raw: bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        decode(raw, MessageRequest)
    return caught.value


def pointed(**fields: Any) -> tuple[problems.ProblemType, str, str | None]:
    problem = refusal(json.dumps(_GOOD | fields).encode())
    (error,) = problem.body.errors
    return problem.type, error.detail, error.pointer


def test_a_good_body() -> None:
    assert decode(json.dumps(_GOOD).encode(), MessageRequest).contact_id == "ct_1"


def test_a_missing_field_is_named() -> None:
    problem = refusal(b'{"channel": "EMAIL"}')
    assert problem.type is problems.MISSING_FIELD
    assert problem.body.errors[0].pointer == "#/contactId"


def test_an_unknown_field_is_named_with_the_one_that_was_meant() -> None:
    assert pointed(templateid="x") == (
        problems.UNKNOWN_FIELD,
        "unknown field; did you mean templateId?",
        "#/templateid",
    )


def test_an_unknown_field_below() -> None:
    kind, detail, pointer = pointed(tracking={"open": True})
    assert (kind, pointer) == (problems.UNKNOWN_FIELD, "#/tracking/open")
    assert detail.endswith("did you mean opens?")


def test_a_name_is_escaped_in_a_pointer() -> None:
    assert pointed(**{"a/b~c": 1})[2] == "#/a~1b~0c"


@pytest.mark.parametrize("name", ["a" * 1_000_000, " - at `$" * 100_000, " - at `$.a" + ".a" * 100_000 + "`"])
def test_an_endless_name_is_shortened_and_compared_with_nothing(name: str) -> None:
    kind, detail, pointer = pointed(**{name: 1})
    assert (kind, detail, unquote(pointer or "")) == (problems.UNKNOWN_FIELD, "unknown field", f"#/{name[:100]}…")


def test_a_wrong_type_within_a_list() -> None:
    attachment = {"filename": "a.txt", "contentType": "text/plain", "content": "aGk="}
    kind, _, pointer = pointed(attachments=[attachment, attachment | {"filename": 5}])
    assert (kind, pointer) == (problems.INVALID_BODY, "#/attachments/1/filename")


def test_a_wrong_word_is_answered_with_the_right_ones_and_not_repeated() -> None:
    _, detail, pointer = pointed(channel="person@example.org")
    assert pointer == "#/channel"
    assert "EMAIL, PUSH, TELEGRAM, ONSITE, WEBHOOK" in detail
    assert "person" not in detail


@pytest.mark.parametrize("name", ["a\n", "a\r\nX: y", "\x7f", ""])
def test_a_filename_is_one_line(name: str) -> None:
    attachment = {"filename": name, "contentType": "text/plain", "content": "aGk="}
    assert pointed(attachments=[attachment])[2] == "#/attachments/0/filename"


@pytest.mark.parametrize("kind", ["text/plain\n", "text", "text/plain; charset=utf-8\r\nX: y"])
def test_a_content_type_is_one_word(kind: str) -> None:
    attachment = {"filename": "a", "contentType": kind, "content": "aGk="}
    assert pointed(attachments=[attachment])[2] == "#/attachments/0/contentType"


@pytest.mark.parametrize("url", ["http://a/\n", "http://a/\x00", "http://a/\x85", "http://a/\u2028"])
def test_a_control_character_is_called_so(url: str) -> None:
    with pytest.raises(Problem) as caught:
        decode(json.dumps({"webhookUrl": url}).encode(), ContactRequest)
    (error,) = caught.value.body.errors
    assert (error.detail, error.pointer) == ("holds a control character", "#/webhookUrl")


def patterns(document: object) -> set[str]:
    """Every pattern in a schema."""
    if isinstance(document, list):
        return set[str]().union(*map(patterns, document))
    if not isinstance(document, dict):
        return set()
    own = {document["pattern"]} if isinstance(document.get("pattern"), str) else set()
    return own.union(*map(patterns, document.values()))


def said_of(pattern: str) -> str:
    """How a line break is refused that does not fit."""
    holder = msgspec.defstruct("Holder", [("text", Annotated[str, Meta(pattern=pattern)])])
    with pytest.raises(Problem) as caught:
        decode(b'{"text": "\\n"}', holder)
    return caught.value.body.errors[0].detail


def test_no_pattern_is_shown_where_it_could_be_words() -> None:
    found = patterns(document(DOCUMENTED, "http://127.0.0.1"))
    assert found == set(WORDS)
    assert {pattern: said_of(pattern) for pattern in found} == WORDS


def test_a_pattern_without_words_is_not_shown_either() -> None:
    assert said_of("^a$") == "has the wrong form"


def deep(levels: int) -> bytes:
    return b'{"contactId":"c","channel":"EMAIL","metadata":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense",
        b'{"contactId": "c", "channel": "EMAIL",}',
        b'{"contactId": "\xff", "channel": "EMAIL"}',
        b'{"contactId": "\xed\xa0\x80", "channel": "EMAIL"}',
        b'{"contactId": "\\ud800", "channel": "EMAIL"}',
        b'{"contactId": "\\udc00x", "channel": "EMAIL"}',
        b'{"contactId": "a\\u0000b", "channel": "EMAIL"}',
        b'{"contactId": "c", "channel": "EMAIL", "metadata": {"\\u0000": 1}}',
        b'{"contactId": "c", "contactId": "d", "channel": "EMAIL"}',
        b'{"contactId": "c", "channel": "EMAIL", "metadata": {"a": {"b": 1, "b": 2}}}',
        b'{"contactId": "c", "channel": "EMAIL", "metadata": {"a": NaN}}',
        b"\xef\xbb\xbf{}",
        '{"contactId": "c", "channel": "EMAIL"}'.encode("utf-16"),
        deep(40),
        deep(100_000),
        b'{"contactId":"c","channel":"EMAIL","metadata":' + b"[" * 200_000,
    ],
    ids=lambda raw: raw[:40],
)
def test_what_is_not_json_to_us(raw: bytes) -> None:
    assert refusal(raw).type in (problems.MALFORMED_JSON, problems.INVALID_BODY)
    assert refusal(raw).type.status == 400


@pytest.mark.parametrize("number", ["1" + "0" * 5000, "1e999", "-1e999"])
def test_numbers_that_no_database_holds(number: str) -> None:
    raw = f'{{"contactId":"c","channel":"EMAIL","metadata":{{"n":{number}}}}}'.encode()
    assert refusal(raw).type.status == 400


def test_what_looks_strange_but_is_sound() -> None:
    raw = deep(29).replace(b'"contactId":"c"', b'"contactId":"c\\\\u0000 \\ud83d\\ude00"')
    assert decode(raw, MessageRequest).contact_id == "c\\u0000 😀"


def test_query_parameters() -> None:
    query = convert_query({"page": "3", "held": "true", "status": "SENT", "other": "x"}, MessageQuery)
    assert (query.page, query.limit, query.held, query.status) == (3, 50, True, "SENT")
    assert query.offset == 100


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "201"),
        ("page", "0"),
        ("page", "x"),
        ("page", "9" * 400),
        ("status", "sent"),
        ("held", "?"),
        ("held", "null"),
        ("status", "null"),
        ("limit", "null"),
        ("limit", "1e2"),
        ("limit", "5.0"),
        ("limit", "+5"),
        ("limit", "٣"),
    ],
)
def test_a_bad_parameter_is_named(name: str, value: str) -> None:
    with pytest.raises(Problem) as caught:
        convert_query({name: value}, MessageQuery)
    assert caught.value.type is problems.INVALID_PARAMETER
    assert caught.value.body.errors[0].parameter == name


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("limt", "unknown parameter; did you mean limit?"),
        ("contact_id", "unknown parameter; did you mean contactId?"),
        ("x", "unknown parameter"),
    ],
)
def test_an_unknown_parameter_is_named_with_the_one_that_was_meant(name: str, detail: str) -> None:
    check_names(["limit", "page", "contactId"], MessageQuery)
    with pytest.raises(Problem) as caught:
        check_names(["limit", name], MessageQuery)
    assert caught.value.body.errors == [problems.FieldError(detail, parameter=name)]
    with pytest.raises(Problem):
        check_names(["limit"], None)


def test_every_problem_has_a_name_of_its_own() -> None:
    names = [each.name for each in problems.ALL_TYPES]
    assert len(set(names)) == len(names)


def test_a_problem_document() -> None:
    body = msgspec.json.decode(problems.respond(problems.not_found("message")).body)
    assert body == {
        "type": "/problems/not-found",
        "title": "Not found",
        "status": 404,
        "detail": "There is no such message.",
    }


@pytest.mark.parametrize("extensions", [{}, {WHOLE_BODY: {}}], ids=["it may come slowly", "it is there"])
async def test_a_body_has_one_limit_however_it_comes(extensions: dict[str, Any]) -> None:
    def request(*pieces: bytes) -> Request:
        waiting = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        waiting[-1]["more_body"] = False

        async def receive() -> Message:
            return waiting.pop(0)

        return Request({"type": "http", "headers": [], "extensions": extensions}, receive)

    assert await read_body(request(b"12345"), 5) == await read_body(request(b"12", b"", b"345"), 5) == b"12345"
    with pytest.raises(Problem) as raised:
        await read_body(request(b"123", b"456"), 5)
    assert (raised.value.type, raised.value.headers) == (problems.TOO_LARGE, {"Connection": "close"})
