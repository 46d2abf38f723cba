"""``wireroom recount``: whether the counts behind every list's total are right, and right ones where they are not."""

from models.store import counts
from wireroom.accounts import opened


async def differing(database_url: str) -> int:
    """How many counts are not what counting every message gives."""
    async with opened(database_url) as database, database.read() as connection:
        return len(await counts.differences(connection))


async def mend(database_url: str) -> int:
    """Count anew where any count is wrong, while no message can be written; returns how many were."""
    async with opened(database_url) as database, database.write() as connection:
        wrong = len(await counts.differences(connection))
        if wrong:
            await counts.rebuild(connection)
        return wrong


def sentence(wrong: int, *, check: bool) -> str:
    """What there is to say of so many wrong counts."""
    if not wrong:
        return "Every count is right."
    counted, is_are = ("1 count", ("is", "was")) if wrong == 1 else (f"{wrong:,} counts", ("are", "were"))
    return f"{counted} {is_are[0]} wrong." if check else f"{counted} {is_are[1]} wrong and {is_are[0]} mended."
