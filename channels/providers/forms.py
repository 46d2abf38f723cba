"""Bodies that are forms: urlencoded, or multipart (RFC 7578).

They are read before anybody has proved anything, so the time that it takes grows with their length and no faster. The
standard library's reader of parts takes hours for some.
"""

import re
from typing import Final
from urllib.parse import parse_qsl

from channels.providers.contract import HookRequest

URLENCODED: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
_MOST_FIELDS: Final = 1_000
_LONGEST_HEAD: Final = 1_000
# At most 70 characters (RFC 2046, section 5.1.1).
_BOUNDARY: Final = re.compile(r'[; \t]boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))[ \t]*(?:;|$)', re.IGNORECASE)
_DISPOSITION: Final = re.compile(rb"^content-disposition:[ \t]*form-data([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_PARAMETER: Final = re.compile(rb'[; \t]([\w*]{1,20})=(?:"([^"]*)"|([^\s;"]*))')


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
    boundary = _BOUNDARY.search(request.headers["content-type"])
    if boundary is None:
        raise ValueError("no boundary")
    return _of_parts((boundary[1] or boundary[2]).encode("utf-8"), request.body)


def _of_parts(boundary: bytes, body: bytes) -> list[tuple[str, str]]:
    _, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary, _MOST_FIELDS + 1)
    if not parts or not parts[-1].startswith(b"--"):
        raise ValueError("not whole, or more fields than are read")
    found: list[tuple[str, str]] = []
    for part in parts[:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        if len(head) > _LONGEST_HEAD:
            raise ValueError("a head longer than is read")
        name = _name(head)
        if name is not None:
            found.append((name, content.decode("utf-8", "strict")))
    return found


def _name(head: bytes) -> str | None:
    """The field's name; None for a file, or where there is none."""
    disposition = _DISPOSITION.search(head)
    parameters = _PARAMETER.findall(b"" if disposition is None else disposition[1])
    values = {
        key.decode("ascii").lower(): (quoted or bare).decode("utf-8", "strict") for key, quoted, bare in parameters
    }
    return None if "filename" in values or "filename*" in values else values.get("name")
