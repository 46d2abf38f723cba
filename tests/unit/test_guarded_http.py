"""The pure parts of the guarded client: waiting times and what is shown of an answer."""

from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict

from channels.guarded_http import Answer, retry_after
from channels.http_connection import Headers

NOW = datetime(2026, 1, 15, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("86400", 86400.0),
        ("86401", 86400.0),
        ("315360000", 86400.0),
        ("9" * 5000, 86400.0),
        ("Thu, 15 Jan 2026 10:02:00 GMT", 120.0),
        ("Thursday, 15-Jan-26 10:02:00 GMT", 120.0),
        ("Thu Jan 15 10:02:00 2026", 120.0),
        ("Thu, 15 Jan 2026 10:02:00 -0000", 120.0),
        ("Thu, 15 Jan 2026 09:59:00 GMT", 0.0),
        ("Wed, 15 Jan 2036 10:00:00 GMT", 86400.0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Thu, 15 Jan 2026 10:02:00 +99999999999999999999", None),
        ("\uff11\uff12", None),
        ("²", None),
        ("Thu, 99 Jan 2026 10:02:00 GMT", None),
        ("Thu, 15 Jan 2026 10:02:00 +9999999999", None),
        ("Fri, 31 Dec 999999 23:59:59 GMT", None),
        ("\udcff", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after(CIMultiDict({"retry-after": value}), NOW) == seconds


def test_retry_after_of_an_answer() -> None:
    assert retry_after(Headers([(b"X", b"9"), (b"rETRY-aFTER", b" 7 "), (b"Retry-After", b"8")])) == 7.0
    assert retry_after(Headers([(b"Retry-After", b"\xff")])) is None
    assert retry_after(Headers([])) is None


def test_headers_are_found_whatever_their_case() -> None:
    headers = Headers([(b"Content-Type", b"a"), (b"X-\xff", b"\xff"), (b"content-type", b"b"), (b"Y", b"")])
    assert (headers["CONTENT-TYPE"], headers["y"]) == ("a", "")
    assert "content-length" not in headers
    assert list(headers) == ["content-type", "x-\udcff", "y"]
    assert len(headers) == 3


def test_no_retry_after() -> None:
    assert retry_after({}) is None


def test_the_detail_of_an_answer_is_short_and_printable() -> None:
    assert Answer(404, "Not Found", {}).detail == "404 Not Found"
    assert Answer(500, "", {}).detail == "500"
    assert Answer(500, "a\udcffb\x1b[2Jc", {}).detail == "500 ab[2Jc"
    assert len(Answer(500, "x" * 8000, {}).detail) == 200
