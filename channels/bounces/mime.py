"""A mail as a tree of parts, in bounded time: whatever it holds, so much of it is read and no more.

The parts are those of the standard library, whose own parser takes minutes for some mails: a thousand multiparts, each
in the one before. A report has what counts at its beginning; what was returned stands at its end.
"""

import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.policy import compat32
from encodings.aliases import aliases
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    MailPart: TypeAlias = Message[str, str]
else:
    MailPart = Message  # not to be subscripted before Python 3.13

_READ_BYTES: Final = 512 << 10
_DEEPEST: Final = 6
_MOST_PARTS: Final = 24
_HEAD_CHARACTERS: Final = 64 << 10
_MOST_FIELDS: Final = 300
_FIELD_CHARACTERS: Final = 2_000
_TEXT_CHARACTERS: Final = 48 << 10
_BOUNDARY_CHARACTERS: Final = 200
# UTF-7 decodes to halves of characters, which no database keeps.
_UTF_7: Final = frozenset({name for name, codec in aliases.items() if codec == "utf_7"} | {"utf_7"})
# Of the codecs that are there, those for texts that mails come in. Names of others are not even looked up: what is not
# found is remembered for ever.
_CHARSETS: Final = frozenset({*aliases, *aliases.values(), "koi8_u"}) - _UTF_7
_ASCII: Final = frozenset({"ascii", "us_ascii", "us"})
_FIELD: Final = re.compile(r"([!-9;-~]{1,76}):[ \t]*(.*)")
_PARAMETER: Final = re.compile(r';[ \t]*([\w-]{1,40})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]+))')
_BREAK_AT_END: Final = re.compile(r"</?(?:p|div|tr|table|li|h[1-6]|pre)\b[^<>]{0,500}>|<br ?/?>", re.IGNORECASE)
_TAG: Final = re.compile(r"<[a-z/!][^<>@]{0,500}>", re.IGNORECASE)
_HIDDEN: Final = re.compile(r"<(style|script|head)\b[^<]{0,20000}</\1>", re.IGNORECASE)
_SPACES: Final = re.compile(r"[ \t]+")
# Numbers of so many digits are no character, and may be more than Python reads.
_HUGE_REFERENCE: Final = re.compile(r"&#[0-9]{8,}")


def read(raw: bytes) -> MailPart:
    """The mail's tree; its lines may end by LF, CR or CRLF."""
    text = raw[:_READ_BYTES].decode("latin-1")  # an octet a character, until its charset is known
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", " ").lstrip("\n")
    if text.startswith("From "):  # as a mailbox file has it
        text = text.partition("\n")[2]
    return _Reader().part(text, 0)


class _Reader:
    """Counts the parts of one mail."""

    def __init__(self) -> None:
        self._parts = 0

    def part(self, text: str, depth: int) -> MailPart:
        """The part that ``text`` is, with those inside it."""
        self._parts += 1
        head, body = _split(text)
        part: MailPart = Message(compat32)
        for name, value in _fields(head):
            part[name] = value
        kind = part.get_content_type()
        if kind == "message/rfc822":
            part.set_default_type("text/plain")
        pieces = self._pieces(part, body) if depth < _DEEPEST else []
        if pieces:
            part.set_payload([self.part(piece, depth + 1) for piece in pieces])
        else:
            part.set_payload(body)
        return part

    def _pieces(self, part: MailPart, body: str) -> list[str]:
        """The texts of the parts in a multipart (RFC 2046, section 5.1.1), or of the mail in a message/rfc822."""
        left = _MOST_PARTS - self._parts
        if left <= 0:
            return []
        if part.get_content_type() in ("message/rfc822", "message/global"):
            return [_octets(part, body).decode("latin-1").lstrip("\n")]
        boundary = _parameter(part, "boundary") if part.get_content_maintype() == "multipart" else ""
        if not boundary:
            return []
        pieces: list[str] = []
        start: int | None = None
        body = "\n" + body
        for at, behind, is_last in _delimiters(body, boundary[:_BOUNDARY_CHARACTERS]):
            if start is not None:
                pieces.append(body[start:at])
            start = behind
            if is_last or len(pieces) >= left:
                return pieces
        return pieces if start is None else [*pieces, body[start:]]


def _delimiters(body: str, boundary: str) -> Iterator[tuple[int, int, bool]]:
    """Where the lines of the boundary begin and what follows them begins, and whether it is the last one."""
    wanted = f"\n--{boundary}"
    at = body.find(wanted)
    while at >= 0:
        behind = at + len(wanted)
        end = body.find("\n", behind)
        rest = body[behind : end if end >= 0 else len(body)].rstrip(" \t")
        if rest in ("", "--"):
            yield at, (end if end >= 0 else len(body)) + 1, rest == "--"
        at = body.find(wanted, behind)


def _parameter(part: MailPart, name: str) -> str:
    """A parameter of Content-Type; empty where there is none.

    The standard library would read more forms of it, and remember the name of every charset that there is not.
    """
    for found in _PARAMETER.finditer(str(part.get("content-type", ""))):
        if found[1].lower() == name:
            return (found[2] or found[3]).replace("\\", "")
    return ""


def _split(text: str) -> tuple[str, str]:
    """Header and body. A part may have no header at all, and begins with an empty line then."""
    if text.startswith("\n"):
        return "", text[1:]
    head, _, body = text.partition("\n\n")
    return head[:_HEAD_CHARACTERS], body


def _fields(head: str) -> Iterator[tuple[str, str]]:
    """Names and values, unfolded and cut to what a report may need; what is no field is left out."""
    found: list[list[str]] = []
    for line in head.split("\n"):
        if line[:1] in (" ", "\t"):
            if found:
                found[-1].append(line.strip())
            continue
        field = _FIELD.fullmatch(line)
        if field is not None:
            if len(found) == _MOST_FIELDS:
                break
            found.append([field[1], field[2]])
    for name, *lines in found:
        yield name, _clean(" ".join(lines)[:_FIELD_CHARACTERS])


def _clean(value: str) -> str:
    """Bytes beyond ASCII as the UTF-8 that they are most likely to be (RFC 6532)."""
    return value if value.isascii() else value.encode("latin-1").decode("utf-8", "replace")


def decoded(part: MailPart) -> str:
    """The part's text, its transfer encoding and its charset undone."""
    payload: Any = part.get_payload()
    octets = _octets(part, payload if isinstance(payload, str) else "")
    return _text(octets, _parameter(part, "charset")).replace("\r\n", "\n").replace("\r", "\n")


def _octets(part: MailPart, body: str) -> bytes:
    coding = str(part.get("content-transfer-encoding", "")).strip().lower()
    if coding not in ("base64", "quoted-printable"):
        return body.encode("latin-1", "replace")
    coder: MailPart = Message(compat32)
    coder["Content-Transfer-Encoding"] = coding
    coder.set_payload(body)
    content = coder.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _text(octets: bytes, charset: str) -> str:
    name = charset.strip().lower().replace("-", "_").replace(".", "_")
    try:
        return octets.decode(name if name in _CHARSETS and name not in _ASCII else "utf-8", "replace")
    except (LookupError, ValueError):  # codecs that are none for texts
        return octets.decode("utf-8", "replace")


def words(part: MailPart) -> str:
    """What a person reads in a text part, HTML without its tags."""
    text = decoded(part)[:_TEXT_CHARACTERS]
    return _without_tags(text) if part.get_content_type() == "text/html" else text


def _without_tags(text: str) -> str:
    from html import unescape  # noqa: PLC0415 - most mails are none

    text = _TAG.sub("", _BREAK_AT_END.sub("\n", _HIDDEN.sub("", text)))
    lines = (_SPACES.sub(" ", line).strip() for line in unescape(_HUGE_REFERENCE.sub("\ufffd", text)).split("\n"))
    return "\n".join(lines)


def walk(part: MailPart, *, into_mails: bool = False) -> Iterator[MailPart]:
    """The part and those inside it; those of a mail inside it only where ``into_mails``."""
    yield part
    payload: Any = part.get_payload()
    if isinstance(payload, list) and (into_mails or part.get_content_maintype() == "multipart"):
        for each in payload:
            yield from walk(each, into_mails=into_mails)


def field(part: MailPart, name: str) -> str:
    """A field of the part's header, encoded words decoded (RFC 2047); empty where there is none."""
    value = str(part.get(name, ""))
    if "=?" not in value:
        return value
    try:
        pieces = decode_header(value)
    except HeaderParseError:  # no base64
        return value
    return "".join([piece if isinstance(piece, str) else _text(piece, charset or "utf-8") for piece, charset in pieces])
