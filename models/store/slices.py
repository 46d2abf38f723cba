"""Pages that begin and end at a row: one costs the same wherever it lies, however long the list is.

Nothing is counted. Where a filter has no index of its own, it is held against so many rows and no more: a page may then
be short, and says where to look on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.rows import read

R = TypeVar("R", bound=msgspec.Struct)

MOST_SEARCHED: Final = 10_000
"""How many rows a filter is held against for one page."""


class Place(msgspec.Struct, frozen=True):
    """Where a page ends or begins: the rows ``before`` (older than) that id, or those that are newer."""

    id: UUID
    before: bool


@dataclass(frozen=True, slots=True)
class Slice(Generic[R]):
    """A page, the newest first. ``newer`` and ``older``: where the next ones lie, None where there is nothing more.

    ``searched``: it ends because enough rows were looked at, and not because it is full or nothing is left.
    """

    rows: list[R]
    newer: Place | None
    older: Place | None
    searched: bool = False


@dataclass(frozen=True, slots=True)
class Listing(Generic[R]):
    """A list: what is read of a row, its ids, whose rows they are by an index, and what else must hold of them.

    ``searches``: how many rows that is looked up in, for one page.
    """

    row_type: type[R]
    columns: Select[Any]
    key: ColumnElement[Any]
    own: Sequence[ColumnElement[bool]]
    wanted: Sequence[ColumnElement[bool]] = ()
    searches: int = MOST_SEARCHED


async def read_slice(
    connection: AsyncConnection, listing: Listing[R], *, most: int, at: Place | None = None
) -> Slice[R]:
    """The page at ``at``, the newest one without it, of up to ``most`` rows."""
    if at is not None and not at.before:
        found, end = await _found(connection, listing, most, at)
        if len(found) > most or end is not None:
            return _upwards(found, most, end, at)
    before = at if at is not None and at.before else None
    found, end = await _found(connection, listing, most, before)
    return _downwards(found, most, end, before)


async def _found(
    connection: AsyncConnection, listing: Listing[R], most: int, at: Place | None
) -> tuple[list[tuple[UUID, R]], UUID | None]:
    """Up to one row more than wanted, from the place on, and the id at which searching for them ended."""
    key, upwards = listing.key, at is not None and not at.before
    order = key.asc() if upwards else key.desc()
    reach = list(listing.own)
    if at is not None:
        reach.append(key > at.id if upwards else key < at.id)
    end: UUID | None = None
    if listing.wanted:
        last = select(key).where(*reach).order_by(order).offset(listing.searches - 1).limit(1)
        end = await connection.scalar(last)
        if end is not None:
            reach.append(key <= end if upwards else key >= end)
    query = listing.columns.add_columns(key.label("its_key")).where(*reach, *listing.wanted).order_by(order)
    rows = await connection.execute(query.limit(most + 1))
    return [(row.its_key, read(row, listing.row_type)) for row in rows], end


def _downwards(found: list[tuple[UUID, R]], most: int, end: UUID | None, at: Place | None) -> Slice[R]:
    full = len(found) > most
    shown = found[:most]
    last = shown[-1][0] if full else end
    return Slice(
        rows=[row for _, row in shown],
        newer=Place(shown[0][0], before=False) if at is not None and shown else None,
        older=None if last is None else Place(last, before=True),
        searched=not full and end is not None,
    )


def _upwards(found: list[tuple[UUID, R]], most: int, end: UUID | None, at: Place) -> Slice[R]:
    full = len(found) > most
    shown = found[:most][::-1]
    first = shown[0][0] if full else end
    return Slice(
        rows=[row for _, row in shown],
        newer=None if first is None else Place(first, before=False),
        older=Place(shown[-1][0] if shown else at.id, before=True),
        searched=not full,
    )
