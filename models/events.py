"""What is reported of a message, by a provider or by a reader, in our words."""

from uuid import UUID

import msgspec

from models.vocabulary import BounceType, EventType


class ParsedEvent(msgspec.Struct, frozen=True):
    """One event, as a provider's ``parse`` reads it out of a request.

    ``dedupe`` (32 bytes) is the same for every repetition of the event from one source. ``raw`` is what was
    received, kept for the record. ``at`` is the provider's own time (milliseconds, UTC). ``message_ref`` and
    ``run`` are ours, where the event carries them; ``provider_ref`` is the provider's name for the message.
    ``machine``: no person did it. ``settles``: it is applied only once others that came with it are there to be seen
    beside it (``models.hits``); its message is known.
    """

    type: EventType
    provider_event: str
    dedupe: bytes
    raw: bytes
    at: int | None
    message_ref: UUID | None = None
    run: int | None = None
    provider_ref: str | None = None
    recipient: str | None = None
    bounce_type: BounceType | None = None
    reason: str | None = None
    machine: bool = False
    settles: bool = False
