"""What is said, before it is filled for one recipient, and the shape in which it is stored."""

import hashlib
from typing import Any
from uuid import UUID

import msgspec


class Attachment(msgspec.Struct, frozen=True, rename="camel"):
    """A file of a mail; ``content`` is its bytes, ``content_id`` makes it an inline image (RFC 2392)."""

    filename: str
    content_type: str
    content: bytes
    content_id: str | None = None


class Content(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What is said. Shared by every message of a workspace that says the same.

    ``subject`` and ``body`` may hold ``{{name}}``. ``format`` is ``html``, ``text`` or ``markdownv2``.
    """

    subject: str | None = None
    body: str | None = None
    format: str = "text"
    headers: dict[str, str] = {}
    attachments: tuple[Attachment, ...] = ()
    options: dict[str, Any] = {}


_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(Content)


def encode(content: Content) -> bytes:
    """The stored form: JSON, the same bytes for the same content."""
    return _ENCODER.encode(content)


def decode(source: bytes) -> Content:
    """The content of a stored form."""
    return _DECODER.decode(source)


def content_id(workspace_id: UUID, source: bytes) -> UUID:
    """The id under which a workspace stores ``source``: 128 bits of its SHA-256, so that equal texts share a row."""
    digest = hashlib.sha256(workspace_id.bytes + source).digest()
    return UUID(bytes=digest[:16])
