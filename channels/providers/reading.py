"""What the adapters share: reading JSON that may be anything, telling repetitions apart, and finding our own ids.

Nothing that a provider sends may break an adapter: a value of another type than documented is as good as none.
"""

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from channels.json_arrays import TooManyItems, raw_items
from channels.providers.contract import TooManyEvents
from models import ids, timestamps
from models.events import ParsedEvent
from models.vocabulary import BounceType, EventType

MOST_EVENTS: Final = 10_000
LONGEST_WORD: Final = 200
LONGEST_REASON: Final = 1000
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON of the wanted shape, however hostile."""

KEY: Final = "wireroom"
"""The name under which providers keep our message and its run for us, where they keep such things."""

_LONGEST_REFERENCE: Final = 500
_LONGEST_TEXT: Final = 100_000
# A message and its run: msg_X-1 in metadata, msg_X.1 in a Message-ID, "msg_X; run=1" in X-Wireroom-Message.
_OURS: Final = re.compile(r"(?<![A-Za-z0-9])(me?sg?_[0-9a-z]{26})(?![0-9a-z])(?:(?:[.-]|; run=)([0-9]{1,5}))?")
# The database keeps no NUL in a text.
_UNSTORABLE: Final = {0: " "}


class Meaning(msgspec.Struct, frozen=True):
    """What a provider's word is in ours. ``reason``: a code of ours that goes before the provider's own words."""

    type: EventType
    bounce_type: BounceType | None = None
    machine: bool = False
    reason: str | None = None

    def event(self, **fields: Any) -> ParsedEvent:
        """An event of this meaning; ``fields`` are the others of a ``ParsedEvent``."""
        words = [word for word in (self.reason, fields.pop("reason", None)) if word]
        return ParsedEvent(
            type=self.type,
            bounce_type=self.bounce_type,
            machine=self.machine,
            reason=clean(": ".join(words), LONGEST_REASON) or None,
            **fields,
        )


ACCEPTED: Final = Meaning(EventType.ACCEPTED)
DEFERRED: Final = Meaning(EventType.DEFERRED)
DELIVERED: Final = Meaning(EventType.DELIVERED)
OPENED: Final = Meaning(EventType.OPENED)
OPENED_BY_MACHINE: Final = Meaning(EventType.OPENED, machine=True)
CLICKED: Final = Meaning(EventType.CLICKED)
CLICKED_BY_MACHINE: Final = Meaning(EventType.CLICKED, machine=True)
HARD: Final = Meaning(EventType.BOUNCED, BounceType.HARD)
SOFT: Final = Meaning(EventType.BOUNCED, BounceType.SOFT)
BLOCKED: Final = Meaning(EventType.BOUNCED, BounceType.SOFT, reason="policy")
FAILED: Final = Meaning(EventType.FAILED)
SUPPRESSED: Final = Meaning(EventType.FAILED, reason="suppressed")
COMPLAINED: Final = Meaning(EventType.COMPLAINED)
UNSUBSCRIBED: Final = Meaning(EventType.UNSUBSCRIBED)
RESUBSCRIBED: Final = Meaning(EventType.RESUBSCRIBED)
IGNORED: Final = Meaning(EventType.IGNORED)
UNKNOWN: Final = Meaning(EventType.IGNORED, reason="unknown event type")


def items(body: bytes) -> list[bytes]:
    """The events of a body that is one JSON value or an array of them; raises TooManyEvents, or one of UNREADABLE."""
    if not body.lstrip(b" \t\r\n").startswith(b"["):
        return [body]
    try:
        return raw_items(body, MOST_EVENTS)
    except TooManyItems:
        raise TooManyEvents(f"at most {MOST_EVENTS:,} events") from None


def each(provider: str, body: bytes, read: Callable[[Any, bytes], Sequence[ParsedEvent]]) -> list[ParsedEvent]:
    """The events of a body that is one JSON object or an array of them, as ``one`` reads each; raises TooManyEvents."""
    try:
        raw = items(body)
    except UNREADABLE as error:
        return [unreadable(provider, body, error)]
    return [event for each_item in raw for event in one(provider, each_item, read)]


def one(provider: str, raw: bytes, read: Callable[[Any, bytes], Sequence[ParsedEvent]]) -> Sequence[ParsedEvent]:
    """The events of one JSON object, which ``read`` gives from it and its bytes; anything else is kept as IGNORED."""
    try:
        value = msgspec.json.decode(raw)
    except UNREADABLE as error:
        return [unreadable(provider, raw, error)]
    return read(value, raw) if isinstance(value, dict) else [unreadable(provider, raw, ValueError("no JSON object"))]


def unreadable(provider: str, raw: bytes, error: Exception) -> ParsedEvent:
    """What cannot be read, kept; the same bytes are the same event."""
    return IGNORED.event(
        provider_event="",
        dedupe=hashlib.sha256(provider.encode() + b"\0unreadable\0" + raw).digest(),
        raw=raw,
        at=None,
        reason=f"not readable: {error}",
    )


def digest(provider: str, *parts: object) -> bytes:
    """The dedupe key (32 bytes) that these parts make up; None is a part of its own, unlike any text."""
    hashed = hashlib.sha256(provider.encode())
    for part in parts:
        encoded = b"" if part is None else str(part).encode("utf-8", "surrogateescape")
        hashed.update(b"\0-" if part is None else b"\0+%d:%b" % (len(encoded), encoded))
    return hashed.digest()


def at(value: Any, *path: str | int) -> Any:
    """What lies in nested objects and arrays under these names and positions; None where there is none."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and len(value) > step else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def text(value: Any, *path: str | int) -> str | None:
    """The same, as a text; a number is written, what is neither, or empty, is None."""
    found = at(value, *path)
    if isinstance(found, str):
        return found[:_LONGEST_TEXT].translate(_UNSTORABLE) or None
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return str(found) if is_number else None


def reference(value: Any, *path: str | int) -> str | None:
    """The same, short enough to be a provider's name for a message or an address; None where it is longer."""
    found = text(value, *path)
    return found if found is not None and len(found) <= _LONGEST_REFERENCE else None


def message_id(value: Any, *path: str | int) -> str | None:
    """The same, without the angle brackets that stand around a Message-ID."""
    found = reference(value, *path)
    return None if found is None else found.strip("<> ") or None


def word(value: Any, *path: str | int) -> str:
    """The same, as a word to be looked up; empty where there is none."""
    return clean(text(value, *path) or "", LONGEST_WORD)


def seconds(value: Any, *path: str | int) -> int | None:
    """Milliseconds of a count of seconds since 1970, which may be written as a text; None where it is none."""
    found = text(value, *path)
    try:
        number = float(found or "")
    except ValueError:
        return None
    return round(number * 1000) if math.isfinite(number) and abs(number) < 1e12 else None


def moment(value: Any, *path: str | int) -> int | None:
    """Milliseconds of an RFC 3339 time; None where it is none."""
    return time_of(text(value, *path) or "")


def time_of(written: str) -> int | None:
    """Milliseconds of an RFC 3339 time; None where the text is none."""
    try:
        return timestamps.parse(written)
    except (ValueError, OverflowError):
        return None


def ours(*texts: str | None) -> dict[str, Any]:
    """``message_ref`` and ``run`` of an event, from the first of the texts that holds an id of ours."""
    for each_text in texts:
        for found in _OURS.finditer(each_text or ""):
            known = ids.parse(ids.Kind.MESSAGE, found[1])
            if known is not None:
                return _reference(known, found[2])
    return {}


def _reference(known: UUID, run: str | None) -> dict[str, Any]:
    return {"message_ref": known, "run": int(run or 0) or None}


def headers(value: Any, *path: str | int) -> dict[str, str]:
    """A list of ``{"name", "value"}``, or of pairs, by lower-case names; of two of a name the first."""
    found: dict[str, str] = {}
    for entry in at(value, *path) if isinstance(at(value, *path), list) else []:
        name, content = (text(entry, 0), text(entry, 1)) if isinstance(entry, list) else _named(entry)
        if name is not None and content is not None:
            found.setdefault(name.lower(), content)
    return found


def _named(entry: Any) -> tuple[str | None, str | None]:
    return text(entry, "name"), text(entry, "value")


def clean(said: str, longest: int) -> str:
    """A text that the database keeps."""
    return said[:longest].translate(_UNSTORABLE)
