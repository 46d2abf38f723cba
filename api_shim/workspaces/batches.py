"""A batch's body, split into its items. None of them is read here, so that a bad one spoils no other."""

from io import BytesIO
from itertools import islice
from typing import Final

import msgspec

from api_shim import problems
from api_shim.problems import Problem
from channels.json_arrays import TooManyItems, raw_items

BATCH_MESSAGES: Final = 10_000
_NDJSON: Final = ("application/x-ndjson", "application/ndjson")


def split(body: bytes, content_type: str) -> list[bytes]:
    """The items of NDJSON, by the content type, or else of a JSON array.

    Raises Problem: 400 where it is neither, 413 over 10,000 items, of which no more is kept.
    """
    try:
        if content_type.partition(";")[0].strip().lower() in _NDJSON:
            return _lines(body)
        return raw_items(body, BATCH_MESSAGES)
    except TooManyItems:
        raise Problem(problems.TOO_LARGE, f"At most {BATCH_MESSAGES:,} items.") from None
    except msgspec.ValidationError:
        raise problems.invalid("a JSON array is expected, or application/x-ndjson", "#") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(problems.MALFORMED_JSON, "The body is neither a JSON array nor sent as NDJSON.") from None


def _lines(body: bytes) -> list[bytes]:
    """The lines that are not empty, without the white space before them."""
    lines = list(islice(filter(None, map(bytes.lstrip, BytesIO(body))), BATCH_MESSAGES + 1))
    if len(lines) > BATCH_MESSAGES:
        raise TooManyItems
    return [line.rstrip(b"\n") for line in lines]
