"""What the types of the "workspace" dialect share: pages, times and short texts."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from api_shim.text_forms import NO_CONTROLS

Moment = Annotated[datetime, Meta(tz=True)]
"""RFC 3339 with a zone."""

Word = Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_CONTROLS)]
"""A short text on one line."""

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_CONTROLS)]
"""What a person calls a thing."""


class PageQuery(msgspec.Struct, rename="camel"):
    """Which page of a list."""

    page: Annotated[int, Meta(ge=1, le=1_000_000_000, description="Page number, from 1.")] = 1
    limit: Annotated[int, Meta(ge=1, le=200, description="Items per page.")] = 50

    @property
    def offset(self) -> int:
        """How many rows come before this page."""
        return (self.page - 1) * self.limit


class Pagination(msgspec.Struct, rename="camel"):
    """Where a page stands; the totals are exact."""

    page: int
    limit: int
    total: int
    total_pages: int

    @classmethod
    def of(cls, query: PageQuery, total: int) -> "Pagination":
        """The pagination of a page of ``total`` rows."""
        return cls(page=query.page, limit=query.limit, total=total, total_pages=-(-total // query.limit))
