"""What a channel hands back beside the peer's answer, as far as it is stored."""

from uuid import UUID

import msgspec


class InboxItem(msgspec.Struct, frozen=True):
    """ONSITE: what the contact's inbox shows; ``body`` is harmless HTML where ``is_html``, else text."""

    subject: str
    body: str
    is_html: bool
    url: str | None = None
    icon: str | None = None


class Progress(msgspec.Struct, frozen=True):
    """What an attempt got done or learnt, however it ended.

    ``accepted``: names of parts that the peer took. ``gone``: browsers that exist no more. ``moved_to``: the address
    that the peer says replaces this one.
    """

    accepted: tuple[str, ...] = ()
    gone: tuple[UUID, ...] = ()
    moved_to: str | None = None
