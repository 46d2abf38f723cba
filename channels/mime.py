"""Mails: built once from what is said, filled for each recipient.

Every text part is quoted-printable or base64 and every file is base64, so no line of a body can hold ``=_``: a
boundary that begins with it needs no search (RFC 2045, section 6.7). The format is RFC 5322 and RFC 2045 to 2047.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from channels.addresses import Mailbox
from channels.contract import Attachment, Content
from channels.dkim import Signer, body_hash
from channels.errors import Permanent
from channels.mail_headers import UnfitForMail, check_headers, custom_header, unsubscribe_headers
from channels.mime_encoding import (
    Body,
    base64_lines,
    compile_body,
    has_control,
    header,
    holds_fields,
    mailbox_header,
    parameter,
)
from channels.plain_text import html_to_text
from channels.relay_headers import RelayHeader
from channels.rendering import Escape, RenderError, Template, Text, Texts, escape_for
from channels.tracked_html import TrackedHtml
from models.tokens import Links
from models.vocabulary import FailureReason

_CONTENT_ID: Final = re.compile(r"[!-;=?-~]{1,900}")
_TOKEN: Final = r"[A-Za-z0-9!#$&^_.+-]+"
_PARAMETER: Final = rf' *; *({_TOKEN}=(?:{_TOKEN}|"[ !#-\[\]-~]*+"))'
_MEDIA_TYPE: Final = re.compile(rf"({_TOKEN}/{_TOKEN})((?:{_PARAMETER})*)")
_LONGEST_MEDIA_TYPE: Final = 500
_MARK: Final = re.compile("\0(\\d+)\0")
_BLANK_LINE: Final = b"\r\n\r\n"


def check_file(file: Attachment) -> None:
    """Whether a mail may carry the file under its name, type and contentId; raises UnfitForMail."""
    if has_control(file.filename) or has_control(file.content_type):
        raise UnfitForMail("an attachment's name or type holds a control character")
    if file.content_id is not None and (not _CONTENT_ID.fullmatch(file.content_id) or "=?" in file.content_id):
        raise UnfitForMail("an attachment's contentId is malformed")


_Entity = list[bytes | Body]
"""A MIME entity, its header first: pieces that are the same for everyone, and text to be filled."""


class Tracking(NamedTuple):
    """What is tracked of one mail to one recipient, and by which links."""

    links: Links
    opens: bool
    clicks: bool


class Mail:
    """A compiled mail: ``fill`` gives the bytes for one recipient."""

    def __init__(
        self,
        content: Content,
        *,
        sender_name: str,
        sender: str,
        domain: str,
        signer: Signer | None = None,
        relay: RelayHeader | None = None,
    ) -> None:
        """Compile; ``domain`` is the right side of Message-IDs. Raises Permanent where the content cannot be sent.

        ``relay``: a header for the server that the mail goes through, unless the sender gives one of that name.
        """
        self._domain = domain
        self._signer = signer
        is_given = relay is not None and relay.name.lower() in {name.lower() for name in content.headers}
        self._relay = None if is_given else relay
        texts = _compile_texts(content)
        self._subject = texts.subject
        if isinstance(self._subject, Text) and any(has_control(literal) for literal in self._subject.pieces[::2]):
            raise Permanent("the subject holds a control character", reason=FailureReason.HEADER_INJECTION)
        try:
            check_headers(content.headers)
            custom = [custom_header(name, value) for name, value in content.headers.items()]
            self._layout = _Layout(content)
        except UnfitForMail as error:
            raise Permanent(str(error), reason=error.reason) from error
        self._fixed = b"".join(
            [mailbox_header("From", [Mailbox(sender_name, sender)]), b"MIME-Version: 1.0\r\n", *custom]
        )
        _expect_fields(self._fixed, 2 + len(custom))
        # Of Liquid nothing can be encoded before it is filled.
        self._liquid = None if isinstance(texts.body, Text) else texts.body
        self._body = self._layout.entity(texts.body.pieces) if isinstance(texts.body, Text) else []
        self._body_hash: str | None = None
        if isinstance(texts.body, Text) and not texts.body.names:
            # The same for everyone: filled, and hashed, once.
            entity = _joined(self._body, {})
            self._body = [entity]
            self._body_hash = None if signer is None else body_hash(entity.partition(_BLANK_LINE)[2])
        # Made once somebody is tracked: the text as it is read for links, and its entity by what is tracked.
        self._source = texts.body.pieces if isinstance(texts.body, Text) else []
        self._tracked: TrackedHtml | None = None
        self._tracked_bodies: dict[tuple[bool, bool], _Entity] = {}

    def fill(
        self,
        *,
        message_id: str,
        run: int,
        recipient: str,
        variables: Mapping[str, Any],
        date: datetime,
        opt_out_url: str | None = None,
        tracking: Tracking | None = None,
    ) -> bytes:
        """The mail for one recipient, in lines ended by CRLF, not dot-stuffed, signed where there is a signer.

        Its Message-ID depends on ``message_id``, ``run`` and the domain alone: every attempt has the same. It is ASCII
        but for a recipient who is not (RFC 6532). ``opt_out_url``: what List-Unsubscribe says. ``tracking``: of HTML
        alone; in the text part a reader sees where a link leads to, so it leads there. Raises Permanent where a value
        brings a control character into the subject, or Liquid cannot be filled.
        """
        subject = _fill(self._subject, variables)
        if has_control(subject):
            raise Permanent("the subject holds a control character", reason=FailureReason.HEADER_INJECTION)
        head = (
            f"Message-ID: <{message_id}.{run}@{self._domain}>\r\n"
            f"Date: {_shown(date.replace(microsecond=0))}\r\n"
            f"To: {recipient}\r\n"
            f"X-Wireroom-Message: {message_id}; run={run}\r\n"
        ).encode()
        subject = subject.strip(" ")
        if subject:
            head += header("Subject", subject)
        if self._relay is not None:
            head += self._relay.line(message_id, run).encode()
        unsubscribe = [] if opt_out_url is None else unsubscribe_headers(opt_out_url)
        head += b"".join(unsubscribe)
        _expect_fields(head, 4 + bool(subject) + (self._relay is not None) + len(unsubscribe))
        if tracking is not None and self._layout.is_html:
            return self._signed(head + self._fixed, self._tracked_entity(variables, tracking), date, None)
        body = self._body if self._liquid is None else self._layout.entity([_fill(self._liquid, variables)])
        return self._signed(head + self._fixed, _joined(body, variables), date, self._body_hash)

    def _tracked_entity(self, variables: Mapping[str, Any], tracking: Tracking) -> bytes:
        links, opens, clicks = tracking
        if self._liquid is not None:
            source = [_fill(self._liquid, variables)]
            tracked = TrackedHtml(source)
            # What depends on the hour may have other links when one is followed.
            clicks = clicks and not self._liquid.reads_clock
            values = tracked.values(links, {}, opens=opens, clicks=clicks, left=(links.opt_out(), links.preferences()))
            return _joined(self._layout.entity(source, tracked.pieces(opens=opens, clicks=clicks)), values)
        if self._tracked is None:
            self._tracked = TrackedHtml(self._source)
        body = self._tracked_bodies.get((opens, clicks))
        if body is None:
            body = self._layout.entity(self._source, self._tracked.pieces(opens=opens, clicks=clicks))
            self._tracked_bodies[opens, clicks] = body
        return _joined(body, {**variables, **self._tracked.values(links, variables, opens=opens, clicks=clicks)})

    def _signed(self, head: bytes, entity: bytes, date: datetime, hashed: str | None) -> bytes:
        """``hashed``: the body's hash, where it is known already."""
        if self._signer is None:
            return head + entity
        # The entity's own header is the last part of the message's.
        end = entity.index(_BLANK_LINE)
        hashed = hashed or body_hash(entity[end + len(_BLANK_LINE) :])
        signatures = self._signer.sign(b"%b%b\r\n" % (head, entity[:end]), hashed, int(date.timestamp()))
        return b"".join([signatures, head, entity])


_shown: Final = lru_cache(maxsize=4)(format_datetime)
"""A date to the second, as a mail says it: the same for all mails of that second."""


def _compile_texts(content: Content) -> Texts:
    try:
        return Texts(content.subject or "", content.body or "", content.format)
    except RenderError as error:
        raise Permanent(str(error), reason=FailureReason.RENDER_ERROR) from error


def _fill(template: Template | None, variables: Mapping[str, Any]) -> str:
    if template is None:
        return ""
    try:
        return template.fill(variables)
    except RenderError as error:
        raise Permanent(str(error), reason=FailureReason.RENDER_ERROR) from error


def _joined(entity: _Entity, variables: Mapping[str, Any]) -> bytes:
    return b"".join([part if isinstance(part, bytes) else part.fill(variables) for part in entity])


def _expect_fields(block: bytes, count: int) -> None:
    """The net under all that writes headers; raises Permanent where a block holds more than the fields we set."""
    if not holds_fields(block, count):
        raise Permanent("a header would hold a line break", reason=FailureReason.HEADER_INJECTION)


class _Layout:
    """What follows the message's own header, around any text: Content-Type, then the body.

    mixed ( alternative ( text, related ( HTML, inline files ) ), attached files ), each level only where needed.
    """

    def __init__(self, content: Content) -> None:
        """Encode the files; raises UnfitForMail."""
        self.is_html = content.format == "html"
        self._escape = escape_for(content.format)
        files = [(self.is_html and file.content_id is not None, _file(file)) for file in content.attachments]
        self._inline = [entity for is_inline, entity in files if is_inline]
        self._attached = [entity for is_inline, entity in files if not is_inline]

    def entity(self, source: Sequence[str], tracked: Sequence[str] | None = None) -> _Entity:
        """The entity of a text. ``source``: literals and names in turn, a literal first and last.

        ``tracked``: the HTML where its links lead elsewhere than those of the text part.
        """
        if self.is_html:
            main = _text_part("html", source if tracked is None else tracked, escape=self._escape)
            if self._inline:
                main = _multipart("related", [main, *self._inline], '; type="text/html"')
            main = _multipart("alternative", [_text_part("plain", _text_of_html(source), escape=None), main])
        else:
            main = _text_part("plain", source, escape=self._escape)
        return _multipart("mixed", [main, *self._attached]) if self._attached else main


def _text_of_html(source: Sequence[str]) -> list[str]:
    """The text part's pieces. Names are marked for the conversion, so that no entity in the HTML can turn into one."""
    marked = [f"\0{number}\0" if number % 2 else piece.replace("\0", "") for number, piece in enumerate(source)]
    pieces = _MARK.split(html_to_text("".join(marked)))
    return [source[int(piece)] if number % 2 else piece for number, piece in enumerate(pieces)]


def _text_part(subtype: str, pieces: Sequence[str], *, escape: Escape | None) -> _Entity:
    encoding, body = compile_body(pieces, escape=escape)
    head = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return [head.encode("ascii"), body]


def _multipart(subtype: str, entities: Sequence[_Entity], parameters: str = "") -> _Entity:
    """RFC 2046, section 5.1. The CRLF before a boundary belongs to the boundary."""
    boundary = f"=_{subtype}"
    multipart: _Entity = [
        f'Content-Type: multipart/{subtype}; boundary="{boundary}"{parameters}\r\n\r\n--{boundary}'.encode("ascii")
    ]
    for entity in entities:
        multipart.extend([b"\r\n", *entity, f"\r\n--{boundary}".encode("ascii")])
    multipart.append(b"--\r\n")
    return multipart


def _file(file: Attachment) -> _Entity:
    """A file in base64, attached or, where it has a Content-ID, inline (RFC 2183, RFC 2392)."""
    check_file(file)
    fields = {
        "Content-Type": _media_type(file.content_type),
        "Content-Transfer-Encoding": "base64",
        "Content-Disposition": ("attachment" if file.content_id is None else "inline")
        + parameter("filename", file.filename),
    }
    if file.content_id is not None:
        fields["Content-ID"] = f"<{file.content_id}>"
    head = "".join([f"{name}: {value}\r\n" for name, value in fields.items()]).encode("ascii")
    _expect_fields(head, len(fields))
    return [head + b"\r\n", base64_lines(file.content)]


def _media_type(content_type: str) -> str:
    """What Content-Type says. What cannot be read, or may not be base64 (RFC 2046, 5.1 and 5.2), is octets."""
    read = _MEDIA_TYPE.fullmatch(content_type) if len(content_type) <= _LONGEST_MEDIA_TYPE else None
    if read is None or "=?" in content_type or read[1].lower().startswith(("multipart/", "message/")):
        return "application/octet-stream"
    return read[1].lower() + "".join([f";\r\n {found}" for found in re.findall(_PARAMETER, read[2])])
