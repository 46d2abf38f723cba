"""ONSITE: an item of the contact's in-app inbox.

Nothing leaves the house here. A send makes the item, and whoever records the send as accepted puts it into the inbox
in the same transaction: so it is there exactly once, however often it is sent.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from channels.contract import Content, Envelope, InboxItem, Receipt
from channels.errors import NotStarted, Permanent
from channels.mime_encoding import has_control
from channels.render_error import RenderError
from channels.rendering import Template, Texts
from channels.sanitise import check_web_url, harmless
from models.vocabulary import Channel as ChannelName
from models.vocabulary import FailureReason

LARGEST_SUBJECT: Final = 1_000
"""Characters; no more of it could be shown on a line or two."""
LARGEST_BODY: Final = 64 << 10
"""Bytes of UTF-8: a page of an inbox is one answer."""

_RECEIPT_CODE: Final = "stored"


class PreparedItem(msgspec.Struct, frozen=True):
    """An item before it is filled for one contact."""

    subject: Template | None
    body: Template | None
    is_html: bool
    url: str | None
    icon: str | None


class OnsiteChannel:
    """The ONSITE channel."""

    name: ChannelName = ChannelName.ONSITE

    def __init__(self) -> None:
        self._closed = False

    def prepare(self, content: Content) -> PreparedItem:
        """Compile subject and body; raises Permanent where one cannot be read, or a URL cannot be shown."""
        try:
            texts = Texts(content.subject, content.body, content.format)
        except RenderError as error:
            raise Permanent(str(error), reason=FailureReason.RENDER_ERROR) from error
        url, icon = (_checked(content, name) for name in ("url", "icon"))
        return PreparedItem(texts.subject, texts.body, content.format == "html", url, icon)

    async def send(self, envelope: Envelope, prepared: PreparedItem) -> Receipt:
        """Make the item; raises Permanent where it does not render, or is too large."""
        if self._closed:
            raise NotStarted("the channel is closed")
        item = _fill(envelope, prepared)
        envelope.proceed()
        return Receipt(code=_RECEIPT_CODE, detail="in the inbox", delivered=True, inbox_item=item)

    async def close(self) -> None:
        """Make no more items."""
        self._closed = True


def check_options(options: Mapping[str, Any]) -> None:
    """Whether an item may have these options; raises ValueError with a reason fit to be shown."""
    for name in ("url", "icon"):
        if options.get(name) is not None:
            _check_url(name, str(options[name]))


def _check_url(name: str, url: str) -> str:
    """An option's URL, as it was given; raises ValueError with a reason fit to be shown."""
    try:
        return check_web_url(url)
    except ValueError as error:
        raise ValueError(f"options.{name} {error}") from None


def _checked(content: Content, name: str) -> str | None:
    url = content.options.get(name)
    if url is None:
        return None
    try:
        return _check_url(name, str(url))
    except ValueError as error:
        raise Permanent(str(error), reason=FailureReason.REJECTED) from None


def _fill(envelope: Envelope, prepared: PreparedItem) -> InboxItem:
    subject = _filled(envelope, prepared.subject)
    if len(subject) > LARGEST_SUBJECT:
        raise _too_large(f"its subject has {len(subject):,} characters, and at most {LARGEST_SUBJECT:,} are shown")
    if has_control(subject):
        raise Permanent(
            "its subject holds a line break or another control character", reason=FailureReason.HEADER_INJECTION
        )
    # As HTML's parser does (section 13.2.5.1): PostgreSQL cannot store the character.
    body = _filled(envelope, prepared.body).replace("\0", "\ufffd")
    _check_size(body)
    if prepared.is_html:
        try:
            body = harmless(body)
        except ValueError as error:
            raise _too_large(str(error)) from None
        _check_size(body)  # what stands in an attribute may have grown
    return InboxItem(subject=subject, body=body, is_html=prepared.is_html, url=prepared.url, icon=prepared.icon)


def _check_size(body: str) -> None:
    size = len(body.encode())
    if size > LARGEST_BODY:
        raise _too_large(f"its body has {size:,} bytes, and at most {LARGEST_BODY:,} are kept")


def _too_large(detail: str) -> Permanent:
    return Permanent(detail, reason=FailureReason.TOO_LARGE)


def _filled(envelope: Envelope, template: Template | None) -> str:
    if template is None:
        return ""
    try:
        return template.fill(envelope.variables)
    except RenderError as error:
        raise Permanent(str(error), reason=FailureReason.RENDER_ERROR) from error
