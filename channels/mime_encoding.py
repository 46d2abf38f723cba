"""Text on the wire: header fields and body parts in 7-bit lines that every reader turns back into the same text."""

import binascii
import html
import re
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_TOKENS: Final = re.compile(r" *[^ ]+")
_LINE_END: Final = re.compile(r"\r\n?")
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")

_LINE_LENGTH: Final = 78
"""What a line should not exceed (RFC 5322, section 2.1.1)."""
_MAX_LINE_LENGTH: Final = 998
"""What a line must not exceed."""
_WORD_LINE_LENGTH: Final = 76
"""What a line that holds an encoded word must not exceed (RFC 2047, section 2)."""
_WORD_FRAME: Final = len("=?utf-8?b??=")


def has_control(text: str) -> bool:
    """Whether the text holds a C0 or C1 control character, DEL or half a surrogate pair: no header can carry it."""
    return _CONTROL.search(text) is not None


def header(name: str, value: str) -> bytes:
    """One unstructured header field, ended by CRLF; ``value`` has no control characters.

    ASCII stands as it is, folded before spaces; all else becomes encoded words. Spaces at both ends are dropped, as
    readers drop them.
    """
    value = value.strip(" ")
    if value.isascii() and "=?" not in value:
        folded = _fold(name, value)
        if folded is not None:
            return folded
    return f"{name}: {encoded_words(value, len(name) + 2)}\r\n".encode("ascii")


def structured_header(name: str, value: str) -> bytes | None:
    """One header field of ASCII whose words have a grammar, as it is, folded before spaces; None if it cannot be."""
    return _fold(name, value.strip(" "))


def _fold(name: str, value: str) -> bytes | None:
    """The field in lines that break before spaces (RFC 5322, section 2.2.3); None where a line gets too long."""
    if len(name) + 2 + len(value) <= _LINE_LENGTH:
        return f"{name}: {value}\r\n".encode("ascii")
    lines = []
    line = f"{name}:"
    for number, token in enumerate(_TOKENS.findall(" " + value)):
        if number and len(line) + len(token) > _LINE_LENGTH:
            lines.append(line)
            line = token
        else:
            line += token
    lines.append(line)
    if max(map(len, lines)) > _MAX_LINE_LENGTH:
        return None
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


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


def mailbox_header(name: str, display_name: str, address: str) -> bytes:
    """``name: Display Name <address>`` (RFC 5322, section 3.4); no control characters in any of them."""
    if display_name.isascii() and "=?" not in display_name:
        quoted = display_name.replace("\\", "\\\\").replace('"', '\\"')
        phrase = display_name if _ATOMS.fullmatch(display_name) else f'"{quoted}"'
        folded = _fold(name, f"{phrase} <{address}>" if display_name else address)
        if folded is not None:
            return folded
    return f"{name}: {encoded_words(display_name, len(name) + 2)}\r\n <{address}>\r\n".encode("ascii")


class Body(Protocol):
    """The body of one text part, encoded for one recipient."""

    def fill(self, variables: Mapping[str, str]) -> bytes:
        """Whole lines, each ended by CRLF."""


def compile_body(pieces: Sequence[str], *, escape: bool) -> tuple[str, Body]:
    """The Content-Transfer-Encoding that makes the shorter part, and the body in it.

    ``pieces``: literals and names in turn, a literal first and last. ``escape``: fill values for an HTML context.
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

    def __init__(self, pieces: Sequence[str], *, escape: bool) -> None:
        self._encoded = [_quoted_run(literal) for literal in pieces[:-1:2]] + [_quoted(pieces[-1])]
        self._names = pieces[1::2]
        self._escape = escape

    def fill(self, variables: Mapping[str, str]) -> bytes:
        if not self._names:
            return self._encoded[0]
        parts = [self._encoded[0]]
        for name, literal in zip(self._names, self._encoded[1:], strict=True):
            value = variables.get(name, "")
            parts.append(_quoted_run(_to_lf(html.escape(value) if self._escape else value)))
            parts.append(literal)
        return b"".join(parts)


class _Base64Body:
    """Base64 (RFC 2045, section 6.8), of the whole text: its groups of three octets span literals and values."""

    def __init__(self, pieces: Sequence[str], *, escape: bool) -> None:
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
            filled[2 * number + 1] = _to_lf(html.escape(value) if self._escape else value)
        return self._encode(filled)

    @staticmethod
    def _encode(filled: Sequence[str]) -> bytes:
        octets = "".join(filled).replace("\n", "\r\n").encode("utf-8", "replace")
        encoded = binascii.b2a_base64(octets, newline=False)
        return b"".join([encoded[start : start + 76] + b"\r\n" for start in range(0, len(encoded), 76)])


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
    return _quoted(text + "x")[:-1] + b"=\r\n" if text else b""
