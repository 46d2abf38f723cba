"""What ``wireroom doctor`` finds of the secret key: whether it opens what is stored sealed."""

import asyncio
from typing import Final

from models import secrets
from models.errors import InvalidSetting, StorageUnavailable
from models.session import Database
from models.settings import StorageSettings
from models.store import sealed
from wireroom.finding import TIMEOUT_S, Finding

_PART: Final = "secret key"
_BETTER: Final = "`openssl rand -base64 32` makes a good one; put it first, a comma, then the old one"
_FORMER: Final = "add the former key to WIREROOM_SECRET_KEY, at the end after a comma"


async def examine(database: Database, storage: StorageSettings) -> Finding:
    """Its finding; no key is made and nothing is opened: an envelope tells which key it is for."""
    try:
        keys = secrets.present_secret_keys(storage)
    except InvalidSetting as error:
        return Finding(_PART, ok=False, detail=str(error), mend="restore it from where you keep a copy")
    try:
        async with asyncio.timeout(TIMEOUT_S), database.read() as connection:
            found = await sealed.headers(connection, secrets.HEADER_LENGTH)
    except (TimeoutError, StorageUnavailable):
        return Finding(_PART, ok=True, detail="too much is sealed to look at all of it in a hurry")
    return _weigh(keys, found)


def doubts(storage: StorageSettings) -> list[Finding]:
    """What there is to say of the key itself."""
    if all(len(key) >= secrets.SHORT_KEY for key in storage.secret_keys):
        return []
    return [Finding(_PART, ok=True, detail="WIREROOM_SECRET_KEY is short enough to be guessed", mend=_BETTER)]


def _weigh(keys: tuple[bytes, ...], found: dict[bytes, dict[str, int]]) -> Finding:
    """``found``: how many envelopes of each table begin with each header."""
    ours = {secrets.header(key) for key in keys}
    strange = [tables for begins, tables in found.items() if begins not in ours]
    count = sum(sum(tables.values()) for tables in found.values())
    if not keys and not count:
        return Finding(_PART, ok=True, detail="made on first start, in the data directory")
    if not keys:
        mend = "restore secret.key into the data directory, or set WIREROOM_SECRET_KEY to the key of this database"
        return Finding(_PART, ok=False, detail=f"there is none here, and {count:,} secrets are sealed", mend=mend)
    if strange:
        where = ", ".join(sorted({name for tables in strange for name in tables}))
        many = sum(sum(tables.values()) for tables in strange)
        return Finding(_PART, ok=False, detail=f"does not open {many:,} of {count:,} ({where})", mend=_FORMER)
    former = sum(sum(tables.values()) for begins, tables in found.items() if begins != secrets.header(keys[0]))
    kept = f", of which {former:,} need a former key: keep it" if former else ""
    return Finding(_PART, ok=True, detail=f"opens all {count:,} of what is sealed{kept}")
