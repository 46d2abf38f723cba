"""What a channel is: it prepares what is said once, and sends it to one recipient at a time.

A channel knows neither storage nor queue nor server. It is made on the event loop of its process, kept for
the process's life, and may be asked for many sends at once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

import msgspec

from models.content import Attachment as Attachment
from models.content import Content as Content
from models.progress import InboxItem as InboxItem
from models.progress import Progress as Progress
from models.tokens import Links
from models.vocabulary import Channel as ChannelName


class Browser(msgspec.Struct, frozen=True):
    """Where one browser of a contact listens (RFC 8030), and its keys (RFC 8291), in base64url."""

    id: UUID
    endpoint: str
    p256dh: str
    auth: str


class Limit(msgspec.Struct, frozen=True):
    """A limit that all workers keep together: at most ``burst`` at once, refilled ``per_second``.

    ``name`` tells limits apart; it holds no address and no secret.
    """

    name: str
    per_second: float
    burst: float = 1.0


class Limiter(Protocol):
    """What paces over all worker processes."""

    @property
    def processes(self) -> int:
        """How many worker processes there are, this one too."""

    async def take(self, limits: Sequence[Limit]) -> float:
        """Take one of each limit, or of none: 0.0 where it may begin now, else in how many seconds to ask again."""


class Envelope(msgspec.Struct, frozen=True):
    """One message to one recipient: everything about it but what it says.

    ``proceed`` is called right before the first irreversible byte; it raises NotStarted where the worker may
    no longer send. ``secrets`` are the address's own (WEBHOOK: the ``whsec_…`` keys, newest first). ``variables`` are
    what the texts ask for, by name: texts, or for Liquid any JSON. ``links`` makes our own links in this message:
    to opt out (``opt_out`` alone says whether it should have any), to be followed or reported back.
    ``browsers``: PUSH, all that the contact has. ``accepted``: the parts that earlier tries of this run got through,
    by the names that ``Progress`` gave them: they are not sent again. ``tries``: how many of this run were refused for
    now, or ended unknown. ``bulk``: where messages wait for a connection, it waits for those that are not.
    ``rescued``: the worker that had it died; where messages wait for a limit, it goes before those that are not, since
    it has waited for a lease already. ``traceparent``: where the attempt stands in the message's trace (W3C Trace
    Context), for a peer that may go on with it.
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
    links: Links
    opt_out: bool = True
    track_opens: bool = False
    track_clicks: bool = False
    browsers: tuple[Browser, ...] = ()
    accepted: frozenset[str] = frozenset()
    tries: int = 0
    bulk: bool = False
    rescued: bool = False
    traceparent: str | None = None


class Receipt(msgspec.Struct, frozen=True):
    """The peer accepted. ``delivered``: its answer also proves that the message arrived."""

    code: str | None = None
    detail: str | None = None
    provider_id: str | None = None
    delivered: bool = False
    progress: Progress | None = None
    inbox_item: InboxItem | None = None


class Channel(Protocol):
    """One way out of the house."""

    name: ChannelName

    def prepare(self, content: Content) -> Any:
        """Whatever can be made once for all recipients; raises Permanent where the content cannot be sent."""

    async def send(self, envelope: Envelope, prepared: Any) -> Receipt:
        """Send to one recipient; a SendError where it did not end well."""

    async def close(self) -> None:
        """Close every connection, waiting for none that is in use."""
