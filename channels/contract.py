"""What a channel is: it prepares what is said once, and sends it to one recipient at a time.

A channel knows neither storage nor queue nor server. It is made on the event loop of its process, kept for
the process's life, and may be asked for many sends at once.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

import msgspec

from models.content import Attachment as Attachment
from models.content import Content as Content
from models.vocabulary import Channel as ChannelName


class Envelope(msgspec.Struct, frozen=True):
    """One message to one recipient: everything about it but what it says.

    ``proceed`` is called right before the first irreversible byte; it raises NotStarted where the worker may
    no longer send. ``secrets`` are the address's own (WEBHOOK: the ``whsec_…`` keys, newest first). ``variables`` are
    what the texts ask for, by name: texts, or for Liquid any JSON.
    """

    message_id: str
    contact_id: str
    uuid: UUID
    run: int
    address: str
    secrets: tuple[str, ...]
    variables: Mapping[str, Any]
    metadata: Mapping[str, Any]
    proceed: Callable[[], None]


class Receipt(msgspec.Struct, frozen=True):
    """The peer accepted. ``delivered``: its answer also proves that the message arrived."""

    code: str | None = None
    detail: str | None = None
    provider_id: str | None = None
    delivered: bool = False


class Channel(Protocol):
    """One way out of the house."""

    name: ChannelName

    def prepare(self, content: Content) -> Any:
        """Whatever can be made once for all recipients; raises Permanent where the content cannot be sent."""

    async def send(self, envelope: Envelope, prepared: Any) -> Receipt:
        """Send to one recipient; a SendError where it did not end well."""

    async def close(self) -> None:
        """Close every connection, waiting for none that is in use."""
