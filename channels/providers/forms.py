"""Bodies that are forms: urlencoded, or multipart (RFC 7578).

They are read before anybody has proved anything, so the time that it takes grows with their length and no faster. The
standard library's reader of parts takes hours for some, and its reader of percent-encoding two seconds for 5 MiB.
"""

import re
from binascii import a2b_qp
from string import hexdigits
from typing import Final

from channels.providers.contract import HookRequest

URLENCODED: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
_MOST_FIELDS: Final = 1_000
_LONGEST_HEAD: Final = 1_000
# At most 70 characters (RFC 2046, section 5.1.1).
_BOUNDARY: Final = re.compile(r'[; \t]boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))[ \t]*(?:;|$)', re.IGNORECASE)
_DISPOSITION: Final = re.compile(rb"^content-disposition:[ \t]*form-data([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
# Of each byte whether it is a percent sign, a hexadecimal digit (here ``h``), or another.
_KINDS: Final = bytes(ord("h") if chr(byte) in hexdigits else byte if byte == ord("%") else 0 for byte in range(256))
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
        return _of_pairs(request.body)
    if media_type(request) != _MULTIPART:
        raise ValueError("no form")
    boundary = _BOUNDARY.search(request.headers["content-type"])
    if boundary is None:
        raise ValueError("no boundary")
    return _of_parts((boundary[1] or boundary[2]).encode("utf-8"), request.body)


def _of_pairs(body: bytes) -> list[tuple[str, str]]:
    if body.count(b"&") >= _MOST_FIELDS:
        raise ValueError("more fields than are read")
    pairs = [pair.partition(b"=") for pair in body.split(b"&") if pair]
    return [(_decoded(name), _decoded(value)) for name, _, value in pairs]


def _decoded(encoded: bytes) -> str:
    """What a name or value says; raises ValueError where a ``%`` lacks its two digits, or it is no UTF-8."""
    kinds = encoded.translate(_KINDS)
    if kinds.count(b"%hh") != kinds.count(b"%"):
        raise ValueError("a percent sign without two digits")
    # Quoted-printable (RFC 2045, section 6.7) is the same under another sign, and is read in C.
    quoted = encoded.replace(b"+", b" ").replace(b"=", b"=3D").replace(b"%", b"=")
    return a2b_qp(quoted).decode("utf-8", "strict")


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
