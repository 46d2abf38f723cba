"""Headers of a mail that hold what others say: which names a sender may use, and what leads out of a list.

The standard library's email package writes no header here: it decodes encoded words in the values that it is given,
and what they held, line breaks too, would stand in the mail.
"""

import re
from collections.abc import Iterable
from typing import Final

from channels.addresses import parse_mailboxes
from channels.mime_encoding import ascii_header, has_control, header, mailbox_header
from models.vocabulary import FailureReason

_HEADER_NAME: Final = re.compile(r"[!-9;-~]{1,76}")
_RESERVED: Final = frozenset(
    {
        "authentication-results",
        "bcc",
        "cc",
        "date",
        "dkim-signature",
        "domainkey-signature",
        "from",
        "list-unsubscribe",
        "list-unsubscribe-post",
        "message-id",
        "mime-version",
        "received",
        "return-path",
        "sender",
        "subject",
        "to",
    }
)
_RESERVED_PREFIXES: Final = ("arc-", "content-", "resent-", "x-wireroom-")

_OF_ADDRESSES: Final = frozenset(
    {
        "disposition-notification-to",
        "errors-to",
        "mail-followup-to",
        "mail-reply-to",
        "reply-to",
        "return-receipt-to",
        "x-confirm-reading-to",
    }
)


class UnfitForMail(ValueError):
    """A header or a file that no mail may carry; its text is fit to be shown, ``reason`` is what a refusal names."""

    def __init__(self, detail: str, reason: FailureReason = FailureReason.HEADER_INJECTION) -> None:
        super().__init__(detail)
        self.reason = reason


def check_headers(names: Iterable[str]) -> None:
    """Whether a mail may carry headers of the sender's with these names; raises UnfitForMail."""
    seen = set()
    for name in names:
        if not _HEADER_NAME.fullmatch(name):
            raise UnfitForMail("a header's name is 1 to 76 visible ASCII characters without a colon")
        lower = name.lower()
        if lower in _RESERVED or lower.startswith(_RESERVED_PREFIXES):
            raise UnfitForMail(f"the header {name} is reserved")
        if lower in seen:
            raise UnfitForMail(f"the header {name} is given twice")
        seen.add(lower)


def custom_header(name: str, value: str) -> bytes:
    """A header of the sender's, ended by CRLF; raises UnfitForMail.

    ASCII stands as it is, since its grammar may be any; other text becomes encoded words (RFC 2047). What has
    addresses is read, and written anew.
    """
    if has_control(value):
        raise UnfitForMail(f"the header {name} holds a control character")
    if "=?" in value:
        raise UnfitForMail(f"the header {name} holds =?, which begins an encoded word: write the text itself")
    if name.lower() in _OF_ADDRESSES:
        try:
            return mailbox_header(name, parse_mailboxes(value))
        except ValueError as error:
            detail = f"the header {name} must be a list of addresses: {error}"
            raise UnfitForMail(detail, FailureReason.INVALID_ADDRESS) from None
    if not value.isascii():
        return header(name, value)
    field = ascii_header(name, value)
    if field is None:
        raise UnfitForMail(f"the header {name} has too long a word", FailureReason.RENDER_ERROR)
    return field


def unsubscribe_headers(url: str) -> list[bytes]:
    """RFC 2369, section 3.2, and RFC 8058, section 3.1, by which one click needs an https address."""
    said = [f"List-Unsubscribe: <{url}>\r\n".encode("ascii")]
    if url.startswith("https://"):
        said.append(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")
    return said
