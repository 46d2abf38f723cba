"""Bodies that are forms: urlencoded, or multipart (RFC 7578)."""

from email.message import Message
from email.parser import BytesParser
from typing import Final
from urllib.parse import parse_qsl

from channels.providers.contract import HookRequest

URLENCODED: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
_MOST_FIELDS: Final = 1_000


def media_type(request: HookRequest) -> str:
    """The body's media type in lower case, without parameters; empty where none is given."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_form(request: HookRequest) -> bool:
    """Whether the body says that it is a form."""
    return media_type(request) in (URLENCODED, _MULTIPART)


def fields(request: HookRequest) -> list[tuple[str, str]]:
    """The form's fields in their order, without files; raises ValueError where it is none, or has over 1,000."""
    if media_type(request) == URLENCODED:
        text = request.body.decode("utf-8", "strict")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    if media_type(request) != _MULTIPART:
        raise ValueError("no form")
    try:
        return _of_parts(request.headers["content-type"].encode("utf-8", "surrogateescape"), request.body)
    except RecursionError:
        raise ValueError("parts within parts") from None


def _of_parts(kind: bytes, body: bytes) -> list[tuple[str, str]]:
    if body.count(b"\n--") > _MOST_FIELDS or b"\n" in kind or b"\r" in kind:
        raise ValueError("more fields than are read")
    parts = BytesParser().parsebytes(b"Content-Type: " + kind + b"\r\n\r\n" + body).get_payload()
    found: list[tuple[str, str]] = []
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, Message):
            continue
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes) and part.get_filename() is None:
            found.append((name, content.decode("utf-8", "strict")))
    return found
