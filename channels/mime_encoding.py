"""Text on the wire: header fields and body parts in 7-bit lines that every reader turns back into the same text."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import quote

from channels.addresses import Mailbox
from channels.rendering import Escape

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TOKENS: Final = re.compile(r" *[^ ]+")
_SAFE_IN_QUOTES: Final = re.compile(
    r"[A-Za-z0-9!#$&'()+,./:;@\[\]^_`{|}~-]+(?: [A-Za-z0-9!#$&'()+,./:;@\[\]^_`{|}~-]+)*"
)
_LINE_END: Final = re.compile(r"\r\n?")
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")

# Short values of letters, digits and single spaces, as most names are: quoted-printable leaves them as they are.
_PLAIN_RUN: Final = re.compile(r"(?=.{1,60}\Z)[A-Za-z0-9]++(?: [A-Za-z0-9]++)*+")
_SOFT_BREAK: Final = b"=\r\n"

_LINE_LENGTH: Final = 78
"""What a line should not exceed (RFC 5322, section 2.1.1)."""
_MAX_LINE_LENGTH: Final = 998
"""What a line must not exceed."""
_WORD_LINE_LENGTH: Final = 76
"""What a line that holds an encoded word must not exceed (RFC 2047, section 2)."""
_MOST_INDENT: Final = 40
"""From how long a header's name on its words begin on the next line."""
_SECTION_LENGTH: Final = 60
_WORD_FRAME: Final = len("=?utf-8?b??=")


def has_control(text: str) -> bool:
    """Whether the text holds a C0 or C1 control, a line or paragraph separator or half a surrogate pair."""
    return _CONTROL.search(text) is not None


def header(name: str, value: str) -> bytes:
    """One unstructured header field, ended by CRLF; ``value`` has no control characters.

    ASCII stands as it is, folded before spaces; all else becomes encoded words. Spaces at both ends are dropped, as
    readers drop them.
    """
    value = value.strip(" ")
    if value.isascii() and "=?" not in value:
        field = ascii_header(name, value)
        if field is not None:
            return field
    start, indent = _start(name)
    return f"{start}{encoded_words(value, indent)}\r\n".encode("ascii")


def ascii_header(name: str, value: str) -> bytes | None:
    """One header field of ASCII as it is, folded before spaces; None if it has a word that fits on no line."""
    folded = _fold(value.strip(" "), len(name) + 2)
    return None if folded is None else f"{name}: {folded}\r\n".encode("ascii")


def mailbox_header(name: str, mailboxes: Sequence[Mailbox]) -> bytes:
    """``name: Display Name <address>, …`` (RFC 5322, section 3.4), a line each; no control characters anywhere."""
    start, indent = _start(name)
    lines = []
    for number, mailbox in enumerate(mailboxes, 1):
        lines.append(_mailbox(mailbox, "," if number < len(mailboxes) else "", indent))
        indent = 1
    return (start + "\r\n ".join(lines) + "\r\n").encode("ascii")


def _mailbox(mailbox: Mailbox, end: str, indent: int) -> str:
    name, address = mailbox
    if name.isascii() and "=?" not in name:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        phrase = name if _ATOMS.fullmatch(name) else f'"{quoted}"'
        folded = _fold(f"{phrase} <{address}>{end}" if name else f"{address}{end}", indent)
        if folded is not None:
            return folded
    return f"{encoded_words(name, indent)}\r\n <{address}>{end}"


def _start(name: str) -> tuple[str, int]:
    """How a field begins that may hold encoded words, and how much of the line that takes."""
    if len(name) + 2 > _MOST_INDENT:
        return f"{name}:\r\n ", 1
    return f"{name}: ", len(name) + 2


def parameter(name: str, value: str) -> str:
    """A parameter of a header field, on lines of its own that go on from the one before; no control characters.

    What is more than plain ASCII is cut into sections of percent-encoded UTF-8 (RFC 2231, sections 3 and 4).
    """
    if _SAFE_IN_QUOTES.fullmatch(value) and len(value) < _MAX_LINE_LENGTH - len(name) - 8:
        return f';\r\n {name}="{value}"'
    encoded = "utf-8''" + quote(value, safe="")
    if len(encoded) <= _SECTION_LENGTH:
        return f";\r\n {name}*={encoded}"
    sections = re.findall(rf"(?:%..|[^%]){{1,{_SECTION_LENGTH // 3}}}", encoded)
    return "".join([f";\r\n {name}*{number}*={section}" for number, section in enumerate(sections)])


def holds_fields(block: bytes, count: int) -> bool:
    """Whether a block of header lines holds so many fields and nothing else.

    Every line ends with CRLF, no CR or LF stands alone, and a line that goes on from the one before begins with a
    space. Counted, because it is asked for each mail.
    """
    lines = block.count(b"\r\n")
    alone = block.count(b"\r") + block.count(b"\n") - 2 * lines
    return block.endswith(b"\r\n") and not alone and lines - block.count(b"\r\n ") == count


def _fold(text: str, indent: int) -> str | None:
    """Text in lines that break before spaces (RFC 5322, section 2.2.3); None where a line gets too long.

    ``indent`` is what stands before it on the first line.
    """
    if indent + len(text) <= _LINE_LENGTH:
        return text
    lines: list[str] = []
    line = ""
    for token in _TOKENS.findall(text):
        if line and indent + len(line) + len(token) > _LINE_LENGTH:
            lines.append(line)
            line = token
            indent = 0
        else:
            line += token
    lines.append(line)
    return None if any(len(line) + indent > _MAX_LINE_LENGTH for line in lines) else "\r\n".join(lines)


def encoded_words(text: str, indent: int) -> str:
    """RFC 2047 encoded words of UTF-8 in base64, folded; ``indent`` is what stands before them on the first line.

    Each word holds whole characters (section 5), so each can be decoded alone.
    """
    words = []
    chunk = b""
    room = _octets_that_fit(indent)
    for character in text:
        encoded = character.encode("utf-8", "replace")
        if len(chunk) + len(encoded) > room:
            words.append(chunk)
            chunk = b""
            room = _octets_that_fit(1)
        chunk += encoded
    words.append(chunk)
    return "\r\n ".join([f"=?utf-8?b?{binascii.b2a_base64(word, newline=False).decode('ascii')}?=" for word in words])


def _octets_that_fit(indent: int) -> int:
    """How many octets one encoded word can hold after ``indent`` characters."""
    return max(4, (_WORD_LINE_LENGTH - indent - _WORD_FRAME) // 4 * 3)


class Body(Protocol):
    """The body of one text part, encoded for one recipient."""

    def fill(self, variables: Mapping[str, str]) -> bytes:
        """Whole lines, each ended by CRLF."""


def compile_body(pieces: Sequence[str], *, escape: Escape | None) -> tuple[str, Body]:
    """The Content-Transfer-Encoding that makes the shorter part, and the body in it.

    ``pieces``: literals and names in turn, a literal first and last. ``escape``: how values are escaped.
    """
    pieces = [_to_lf(piece) for piece in pieces]
    if not pieces[-1].endswith("\n"):
        pieces[-1] += "\n"
    octets = "".join(pieces[::2]).encode("utf-8", "replace")
    beyond_ascii = len(octets) - len(octets.decode("utf-8").encode("ascii", "ignore"))
    # A quoted octet takes three characters; in base64 each takes four thirds.
    if beyond_ascii * 6 > len(octets):
        return "base64", _Base64Body(pieces, escape=escape)
    return "quoted-printable", _QuotedBody(pieces, escape=escape)


class _QuotedBody:
    """Quoted-printable (RFC 2045, section 6.7). Literals are encoded once.

    A soft line break stands before and after each value, so that what is encoded apart can be put together without
    counting columns.
    """

    def __init__(self, pieces: Sequence[str], *, escape: Escape | None) -> None:
        self._encoded = [_quoted_run(literal) for literal in pieces[:-1:2]] + [_quoted(pieces[-1])]
        self._names = pieces[1::2]
        self._asked = tuple(dict.fromkeys(self._names))
        self._escape = escape

    def fill(self, variables: Mapping[str, str]) -> bytes:
        if not self._names:
            return self._encoded[0]
        encoded = {name: self._value(variables.get(name, "")) for name in self._asked}
        parts = [self._encoded[0]]
        for name, literal in zip(self._names, self._encoded[1:], strict=True):
            parts += encoded[name], literal
        return b"".join(parts)

    def _value(self, value: str) -> bytes:
        shown = value if self._escape is None else self._escape(value)
        if _PLAIN_RUN.fullmatch(shown):
            return shown.encode() + _SOFT_BREAK
        return _quoted_run(_to_lf(shown))


class _Base64Body:
    """Base64 (RFC 2045, section 6.8), of the whole text: its groups of three octets span literals and values."""

    def __init__(self, pieces: Sequence[str], *, escape: Escape | None) -> None:
        self._pieces = list(pieces)
        self._names = pieces[1::2]
        self._escape = escape
        self._constant = None if self._names else self._encode(self._pieces)

    def fill(self, variables: Mapping[str, str]) -> bytes:
        if self._constant is not None:
            return self._constant
        filled = self._pieces.copy()
        for number, name in enumerate(self._names):
            value = variables.get(name, "")
            filled[2 * number + 1] = _to_lf(value if self._escape is None else self._escape(value))
        return self._encode(filled)

    @staticmethod
    def _encode(filled: Sequence[str]) -> bytes:
        return base64_lines("".join(filled).replace("\n", "\r\n").encode("utf-8", "replace"))


def base64_lines(octets: bytes) -> bytes:
    """Octets as base64 in lines of 76 characters, each ended by CRLF (RFC 2045, section 6.8)."""
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


def _to_lf(text: str) -> str:
    """The text with every line ended by LF alone."""
    return _LINE_END.sub("\n", text) if "\r" in text else text


def _quoted(text: str) -> bytes:
    """Text whose lines end in LF, as quoted-printable whose lines end in CRLF."""
    return binascii.b2a_qp(text.encode("utf-8", "replace")).replace(b"\n", b"\r\n")


def _quoted_run(text: str) -> bytes:
    """The same for text that goes on after it: ended by a soft line break.

    The letter encoded after it keeps room for the break's ``=`` and keeps a last space from being taken for one at
    the end of a line.
    """
    return _quoted(text + "x")[:-1] + _SOFT_BREAK if text else b""
