"""Sealing anew, by the newest secret key, what older ones have sealed; afterwards these may go.

A few rows are one transaction, and what the newest key has sealed already is passed over: interrupted, it is simply
begun again. Who changes a secret meanwhile wins.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from models.audit import COMMAND, Action, Details
from models.secrets import Keyring, SealBroken
from models.session import Database
from models.store import audit, sealed
from models.store.audit import NewEntry
from models.store.sealed import EVERYTHING, SealedTable, SealedValue

_BATCH: Final = 500
_MOST_NAMED: Final = 20

log = structlog.get_logger("models.secrets")


class Tally(msgspec.Struct):
    """What was found in one table. ``older``: sealed by an older key; ``resealed`` of these were sealed anew.

    ``lost``: no secret key opens them.
    """

    table: str
    newest: int = 0
    older: int = 0
    resealed: int = 0
    lost: int = 0


async def reseal(
    database: Database,
    keyring: Keyring,
    places: Sequence[SealedTable] = EVERYTHING,
    *,
    dry_run: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Tally]:
    """Seal anew what older keys have sealed, or only count it; ``advance`` is told how many more rows were looked at.

    Raises StorageUnavailable.
    """
    return [await _walk(database, keyring, place, dry_run=dry_run, advance=advance) for place in places]


async def _walk(
    database: Database, keyring: Keyring, place: SealedTable, *, dry_run: bool, advance: Callable[[int], None]
) -> Tally:
    tally = Tally(place.name)
    last, more = None, True
    while more:
        async with database.read() as connection:
            envelopes, rows, last = await sealed.some_after(connection, place, last, _BATCH)
        older = _look(keyring, place, envelopes, tally)
        if older and not dry_run:
            async with database.write() as connection:
                if not tally.resealed:
                    # Beside the change: whatever ends this in the middle, the log tells that it was begun.
                    details: Details = {"table": str(place.name)}
                    await audit.add(connection, NewEntry(None, COMMAND, Action.SECRETS_RESEAL, details=details))
                for envelope, new in older:
                    tally.resealed += await sealed.exchange(connection, place, envelope, new)
        advance(rows)
        more = last is not None
    return tally


def _look(
    keyring: Keyring, place: SealedTable, envelopes: Sequence[SealedValue], tally: Tally
) -> list[tuple[SealedValue, bytes]]:
    """Those that an older key has sealed, and what is to take their place."""
    older = []
    for each in envelopes:
        try:
            new = keyring.reseal(each.sealed, place.purpose(each.column, each.key))
        except SealBroken:
            tally.lost += 1
            if tally.lost <= _MOST_NAMED:
                log.error("secrets.sealed_by_unknown_key", table=place.name, column=each.column, row=str(each.key))
            continue
        if new == each.sealed:
            tally.newest += 1
        else:
            tally.older += 1
            older.append((each, new))
    return older
