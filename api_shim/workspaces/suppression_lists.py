"""Suppressions by the thousand: taken in whole or not at all, and written out while they are read."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from api_shim import addresses, csv_cells, problems
from api_shim.audit import changing
from api_shim.decoding import decode, milliseconds
from api_shim.operations import Call, Operation, Reply, asking
from api_shim.problems import FieldError, Problem
from api_shim.workspaces.batches import BATCH_MESSAGES, split
from api_shim.workspaces.nouns import BAD_BODY, BASE
from api_shim.workspaces.suppression_list_types import (
    COLUMNS,
    ExportedSuppression,
    ImportReply,
    SuppressionExport,
    SuppressionExportFilter,
    SuppressionLine,
)
from api_shim.workspaces.suppression_views import suppression_view
from api_shim.workspaces.suppressions import kind_of
from models.audit import Action
from models.secrets import Keyring
from models.store import suppression_lists
from models.store.suppressions import NewSuppression, SuppressionFilter
from models.timestamps import show
from models.vocabulary import Scope

CSV: Final = "text/csv"
_CSV_ANSWER: Final = "text/csv; charset=utf-8"
_MOST_BYTES: Final = 4 << 20
_MOST_ERRORS: Final = 100
_PAGE: Final = 500
_AT_ONCE: Final = 100
_TRUTHS: Final = {"true": True, "false": False}

Item = tuple[str, bytes]
"""Where it stands, for people, and its JSON."""


# --- Taking in


async def import_all(call: Call) -> Reply:
    """Take all lines in, or none: then the answer says what is wrong in which."""
    body = await call.body(_MOST_BYTES)
    media = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    items = list(_of_csv(body)) if media == CSV else _of_json(body, media)
    keyring = await call.services.keyring()
    new: list[NewSuppression] = []
    wrong: list[FieldError] = []
    for number, (place, raw) in enumerate(items):
        try:
            line = decode(raw, SuppressionLine)
            if not line.address_erased:
                new.append(_new(line, keyring))
        except Problem as problem:
            wrong += [_placed(error, number, place) for error in problem.body.errors or (FieldError("is no JSON"),)]
        if len(wrong) >= _MOST_ERRORS:
            break
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    if wrong:
        detail = "Nothing was imported. What is wrong is listed by line."
        raise Problem(problems.INVALID_BODY, detail, errors=tuple(wrong[:_MOST_ERRORS]))
    async with changing(call, Action.SUPPRESSION_IMPORT) as change:
        created = await suppression_lists.take_in(change.connection, call.workspace_id, new)
        change.details = {"read": len(items), "created": created}
    return Reply(ImportReply(read=len(items), created=created, erased=len(items) - len(new)))


def _of_json(body: bytes, media: str) -> list[Item]:
    return [(f"entry {number}", raw) for number, raw in enumerate(split(body, media), 1)]


def _of_csv(body: bytes) -> Iterator[Item]:
    """Each row as the JSON that it means; raises Problem (400, 413)."""
    try:
        text = body.decode("utf-8-sig")
        for number, (line, cells) in enumerate(csv_cells.rows(text)):
            if number == BATCH_MESSAGES:
                raise Problem(problems.TOO_LARGE, f"At most {BATCH_MESSAGES:,} lines.")
            # Spreadsheets write TRUE.
            erased = _TRUTHS.get(cells.get("addressErased", "false").lower())
            yield f"line {line}", msgspec.json.encode({**cells, "addressErased": erased})
    except UnicodeDecodeError:
        raise problems.invalid("is not UTF-8", "#") from None
    except ValueError as error:
        raise problems.invalid(str(error), "#") from None


def _new(line: SuppressionLine, keyring: Keyring) -> NewSuppression:
    kind = kind_of(line.kind, line.topic)
    if line.address is None:
        raise problems.invalid("required", "#/address")
    try:
        address = addresses.normal(line.channel, line.address)
    except ValueError as error:
        raise problems.invalid(str(error), "#/address") from None
    return NewSuppression(
        channel=line.channel,
        address_digest=keyring.address_digest(line.channel.value, address),
        kind=kind,
        topic=line.topic or "",
        address=address,
        reason=line.reason.value,
        expires_at=milliseconds(line.expires_at, "#/expiresAt"),
        note=line.note,
    )


def _placed(error: FieldError, number: int, place: str) -> FieldError:
    """The error in its line, and in the whole."""
    pointer = (error.pointer or "#").removeprefix("#")
    return FieldError(f"{place}: {error.detail}", f"#/{number}{pointer}")


# --- Writing out


async def export_csv(call: Call, query: SuppressionExportFilter) -> Reply:
    """All that is wanted, as CSV; no cell is a formula."""

    async def chunks() -> AsyncIterator[bytes]:
        yield csv_cells.line(COLUMNS)
        async for some in _pages(call, query):
            yield b"".join(csv_cells.line(_cells(each)) for each in some)

    return Reply(chunks(), headers=_saved_as("csv"), media_type=_CSV_ANSWER)


async def export_json(call: Call, query: SuppressionExportFilter) -> Reply:
    """All that is wanted, as one JSON document."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"exportedAt":' + msgspec.json.encode(show(int(time.time() * 1000))) + b',"data":['
        between = b""
        async for some in _pages(call, query):
            yield between + b",".join(map(msgspec.json.encode, some))
            between = b","
        yield b"]}"

    return Reply(chunks(), headers=_saved_as("json"))


def _saved_as(ending: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="suppressions.{ending}"', "Cache-Control": "no-store"}


async def _pages(call: Call, query: SuppressionExportFilter) -> AsyncIterator[Sequence[ExportedSuppression]]:
    wanted = SuppressionFilter(**msgspec.structs.asdict(query))
    after: UUID | None = None
    while True:
        async with call.services.database.read() as connection:
            page = await suppression_lists.some_after(connection, call.workspace_id, wanted, after=after, most=_PAGE)
        if page:
            yield [
                ExportedSuppression(**msgspec.structs.asdict(suppression_view(row)), address_erased=row.address is None)
                for row in page
            ]
        if len(page) < _PAGE:
            return
        after = page[-1].id


def _cells(row: ExportedSuppression) -> list[str | None]:
    shown: dict[str, Any] = msgspec.to_builtins(row)
    return [msgspec.json.encode(value).decode() if isinstance(value, bool) else value for value in shown.values()]


OPERATIONS: Final = (
    Operation(
        "POST",
        f"{BASE}/suppressions/import",
        import_all,
        summary="Suppress up to 10,000 addresses (4 MiB), all or, where one line is wrong, none",
        tag="Suppressions",
        scope=Scope.CONTACTS,
        request=list[SuppressionLine],
        request_media=("application/json", "application/x-ndjson", CSV),
        responses={200: ImportReply},
        errors=BAD_BODY,
    ),
    Operation(
        "GET",
        f"{BASE}/suppressions/export.csv",
        summary="Export suppressions as CSV (RFC 4180), the oldest first; no cell is a formula",
        tag="Suppressions",
        scope=Scope.CONTACTS,
        responses={200: str},
        response_media=_CSV_ANSWER,
        **asking(SuppressionExportFilter, export_csv),
    ),
    Operation(
        "GET",
        f"{BASE}/suppressions/export.json",
        summary="Export suppressions as one JSON document, the oldest first",
        tag="Suppressions",
        scope=Scope.CONTACTS,
        responses={200: SuppressionExport},
        **asking(SuppressionExportFilter, export_json),
    ),
)
