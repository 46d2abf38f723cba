"""The items of a JSON array as they were written, and no more of them than wanted."""

from functools import lru_cache
from typing import Final

import msgspec

_NOTHING: Final = msgspec.Raw()


class TooManyItems(ValueError):
    """The array holds more items than wanted."""


def raw_items(array: bytes | msgspec.Raw, most: int) -> list[bytes]:
    """The bytes of each item; memory and time do not grow with the items beyond ``most``, which are only skipped.

    Raises TooManyItems, or what msgspec raises for bytes that are no JSON array.
    """
    items = msgspec.structs.astuple(_decoder(most).decode(array))
    length = next((length for length, item in enumerate(items) if item is _NOTHING), len(items))
    if length > most:
        raise TooManyItems(f"more than {most:,} items")
    return [bytes(item) for item in items[:length]]


@lru_cache(maxsize=8)
def _decoder(most: int) -> msgspec.json.Decoder[msgspec.Struct]:
    # Of a list, msgspec checks the length after it has kept every item. Of a record it keeps the fields that the
    # type has: one more than wanted tells whether there are too many.
    fields = [(f"item{number}", msgspec.Raw, _NOTHING) for number in range(most + 1)]
    return msgspec.json.Decoder(msgspec.defstruct("Items", fields, array_like=True))
