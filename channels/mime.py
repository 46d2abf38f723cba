"""Mails: built once from what is said, filled for each recipient.

Every text part is quoted-printable or base64 and every file is base64, so no line of a body can hold ``=_``: a
boundary that begins with it needs no search (RFC 2045, section 6.7). The format is RFC 5322 and RFC 2045 to 2047.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from channels.contract import Attachment, Content
from channels.errors import Permanent
from channels.mime_encoding import Body, compile_body, has_control, header, mailbox_header, structured_header
from channels.plain_text import html_to_text
from channels.rendering import RenderError, Text
from models.vocabulary import FailureReason

_HEADER_NAME: Final = re.compile(r"[!-9;-~]{1,76}")
_CONTENT_ID: Final = re.compile(r"[^\s<>]{1,900}", re.ASCII)
_MARK: Final = re.compile("\0(\\d+)\0")

_RESERVED: Final = frozenset(
    {
        "bcc",
        "cc",
        "date",
        "dkim-signature",
        "from",
        "message-id",
        "mime-version",
        "received",
        "return-path",
        "sender",
        "subject",
        "to",
    }
)
_RESERVED_PREFIXES: Final = ("content-", "resent-", "x-wireroom-")


def check_headers(headers: Mapping[str, str]) -> None:
    """Whether a mail may carry these headers of the sender's; raises ValueError with a reason fit to be shown."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError("a header's name is 1 to 76 visible ASCII characters without a colon")
        if name.lower() in _RESERVED or name.lower().startswith(_RESERVED_PREFIXES):
            raise ValueError(f"the header {name} is reserved")
        if has_control(value):
            raise ValueError(f"the header {name} holds a control character")


_Entity = list[bytes | Body]
"""A MIME entity, its header first: pieces that are the same for everyone, and text to be filled."""


class Mail:
    """A compiled mail: ``fill`` gives the bytes for one recipient."""

    def __init__(self, content: Content, *, sender_name: str, sender: str, domain: str) -> None:
        """Compile; ``domain`` is the right side of Message-IDs. Raises Permanent where the content cannot be sent."""
        self._domain = domain
        self._subject = _compile_text(content.subject or "", "subject", escape=False)
        if any(has_control(literal) for literal in self._subject.pieces[::2]):
            raise Permanent("the subject holds a control character", reason=FailureReason.HEADER_INJECTION)
        self._fixed = b"".join(
            [
                mailbox_header("From", sender_name, sender),
                b"MIME-Version: 1.0\r\n",
                *_custom_headers(content.headers),
            ]
        )
        self._body = _compile_content(content)

    def fill(self, *, message_id: str, run: int, recipient: str, variables: Mapping[str, str], date: datetime) -> bytes:
        """The mail for one recipient, in lines ended by CRLF, not dot-stuffed.

        Its Message-ID depends on ``message_id``, ``run`` and the domain alone: every attempt has the same. Raises
        Permanent where a value brings a control character into the subject.
        """
        subject = self._subject.fill(variables)
        if has_control(subject):
            raise Permanent("the subject holds a control character", reason=FailureReason.HEADER_INJECTION)
        head = (
            f"Message-ID: <{message_id}.{run}@{self._domain}>\r\n"
            f"Date: {format_datetime(date)}\r\n"
            f"To: {recipient}\r\n"
            f"X-Wireroom-Message: {message_id}; run={run}\r\n"
        ).encode("ascii")
        parts = [head, header("Subject", subject) if subject.strip(" ") else b"", self._fixed]
        parts.extend([part if isinstance(part, bytes) else part.fill(variables) for part in self._body])
        return b"".join(parts)


def _compile_text(source: str, what: str, *, escape: bool) -> Text:
    try:
        return Text(source, escape=escape)
    except RenderError as error:
        raise Permanent(
            f"the {what} holds braces that are no {{{{name}}}}", reason=FailureReason.RENDER_ERROR
        ) from error


def _custom_headers(headers: Mapping[str, str]) -> list[bytes]:
    """The sender's own headers; raises Permanent where one cannot be sent."""
    try:
        check_headers(headers)
    except ValueError as error:
        raise Permanent(str(error), reason=FailureReason.HEADER_INJECTION) from error
    return [_custom_header(name, value) for name, value in headers.items()]


def _custom_header(name: str, value: str) -> bytes:
    """ASCII as it is: we do not know its grammar. Else as the email package encodes a field of that name."""
    if not value.isascii():
        message = EmailMessage(policy=SMTP)
        message[name] = value
        return SMTP.fold_binary(name, message[name])
    field = structured_header(name, value)
    if field is None:
        raise Permanent(f"the header {name} has too long a word", reason=FailureReason.RENDER_ERROR)
    return field


def _compile_content(content: Content) -> _Entity:
    """What follows the message's own header: Content-Type, then the body.

    mixed ( alternative ( text, related ( HTML, inline files ) ), attached files ), each level only where needed.
    """
    source = _compile_text(content.body or "", "body", escape=content.format == "html").pieces
    files = [(file.content_id is not None, _file(file)) for file in content.attachments]
    if content.format == "html":
        inline = [entity for is_inline, entity in files if is_inline]
        files = [(is_inline, entity) for is_inline, entity in files if not is_inline]
        main = _text_part("html", source, escape=True)
        if inline:
            main = _multipart("related", [main, *inline], '; type="text/html"')
        main = _multipart("alternative", [_text_part("plain", _text_of_html(source), escape=False), main])
    else:
        main = _text_part("plain", source, escape=False)
    return _multipart("mixed", [main, *[entity for _, entity in files]]) if files else main


def _text_of_html(source: Sequence[str]) -> list[str]:
    """The text part's pieces. Names are marked for the conversion, so that no entity in the HTML can turn into one."""
    marked = [f"\0{number}\0" if number % 2 else piece.replace("\0", "") for number, piece in enumerate(source)]
    pieces = _MARK.split(html_to_text("".join(marked)))
    return [source[int(piece)] if number % 2 else piece for number, piece in enumerate(pieces)]


def _text_part(subtype: str, pieces: Sequence[str], *, escape: bool) -> _Entity:
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
    if has_control(file.filename) or has_control(file.content_type):
        raise Permanent("an attachment's name or type holds a control character", reason=FailureReason.HEADER_INJECTION)
    if file.content_id is not None and not (file.content_id.isascii() and _CONTENT_ID.fullmatch(file.content_id)):
        raise Permanent("an attachment's contentId is malformed", reason=FailureReason.HEADER_INJECTION)
    maintype, subtype, parameters = _media_type(file.content_type)
    part = MIMEPart(policy=SMTP)
    part.set_content(
        file.content,
        maintype,
        subtype,
        params=parameters,
        filename=file.filename,
        disposition="attachment" if file.content_id is None else "inline",
        cid=None if file.content_id is None else f"<{file.content_id}>",
    )
    return [part.as_bytes()]


def _media_type(content_type: str) -> tuple[str, str, dict[str, str]]:
    """Type, subtype and parameters; what cannot be read, or may not be base64 (RFC 2046, 5.1 and 5.2), is octets."""
    part = MIMEPart(policy=SMTP)
    part["Content-Type"] = content_type
    field = part["Content-Type"]
    if field.defects or field.maintype in ("multipart", "message"):
        return "application", "octet-stream", {}
    return field.maintype, field.subtype, dict(field.params)
