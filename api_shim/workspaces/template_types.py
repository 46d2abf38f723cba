"""The JSON of templates in the "workspace" dialect."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_shim.text_forms import LOCALE, LOCALE_OR_STAR
from api_shim.workspaces.paging import Name, Pagination
from models.vocabulary import Channel

TextFormat = Literal["html", "text", "markdownv2"]
Subject = Annotated[str, Meta(max_length=1000)]
PartChannel = Literal["EMAIL", "PUSH", "TELEGRAM", "ONSITE", "WEBHOOK", "*"]
"""A channel, or ``*`` for all that have no parts of their own."""

Locale = Annotated[str, Meta(max_length=35, pattern=LOCALE)]
"""A language tag (BCP 47), ``de-AT``; also written ``de_AT``."""

PartLocale = Annotated[str, Meta(max_length=35, pattern=LOCALE_OR_STAR)]
"""A locale, or ``*`` for all that have no part of their own."""


class TemplatePart(msgspec.Struct, forbid_unknown_fields=True):
    """The texts for one channel and locale. Without ``format`` the body is HTML where it begins with ``<``."""

    body: str
    subject: Subject | None = None
    format: TextFormat | None = None


TemplateParts = dict[PartChannel, dict[PartLocale, TemplatePart]]
"""By channel, then by locale.

The channel's own come before ``*``; among those ``de-AT`` before ``de`` before ``*``.
"""


class TemplateRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A template; its texts may hold ``{{name}}`` and any Liquid that needs no other file.

    ``subject``, ``body`` and ``format`` are for every channel and locale that ``parts`` has nothing for. Without
    ``format`` the body is HTML where it begins with ``<``.
    """

    name: Name
    body: str
    subject: Subject | None = None
    format: TextFormat | None = None
    parts: TemplateParts = {}


class TemplatePatch(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What is to change of a template. A changed text is a new version; accepted messages keep theirs.

    ``parts`` replaces all the parts that there are.
    """

    name: Name | UnsetType = UNSET
    body: str | UnsetType = UNSET
    subject: Subject | UnsetType | None = UNSET
    format: TextFormat | UnsetType | None = UNSET
    parts: TemplateParts | UnsetType = UNSET


class TemplateView(msgspec.Struct, rename="camel"):
    """A template at its current version.

    ``updatedAt`` is when that version was made: a new name makes none, and does not move it.
    """

    id: str
    name: str
    version: int
    subject: str | None
    body: str | None
    format: TextFormat | None
    parts: TemplateParts
    created_at: str
    updated_at: str


class TemplateList(msgspec.Struct):
    """A page of templates, the newest first."""

    data: list[TemplateView]
    pagination: Pagination


class PreviewRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Whom to show a template for. ``attributes`` go before what the contact has; without ``channel``, the ``*`` part.

    Without ``locale`` it is the contact's.
    """

    contact_id: str | None = None
    attributes: dict[str, Any] = {}
    channel: Channel | None = None
    locale: Locale | None = None


class PreviewView(msgspec.Struct, rename="camel"):
    """A template as its reader would get it. ``warnings`` name what has no value."""

    version: int
    subject: str | None
    body: str
    format: TextFormat
    warnings: list[str]
