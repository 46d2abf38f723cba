"""What every rig is: a channel with its real peer, as the contract suite sees it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any, ClassVar, Final

from channels.contract import Channel, Content, Envelope
from models.vocabulary import Channel as ChannelName
from models.vocabulary import FailureReason
from tests.support.envelopes import envelope

RETRY_AFTER_S: Final = 17

LONG_S: Final = 60.0
"""Longer than any test waits."""


class Peer(StrEnum):
    """What the peer does with a message."""

    ACCEPTS = auto()
    REFUSES_FOR_NOW = auto()
    REFUSES_FOR_GOOD = auto()
    IS_DEAD = auto()
    """The address is no good any more."""
    CUTS = auto()
    """Takes the message, then cuts the line without a word."""
    FALLS_SILENT = auto()
    """Takes the message and never answers."""


@dataclass(frozen=True)
class Arrived:
    """One message as its recipient has it. ``structure``: everything about its shape, and nothing of its words."""

    address: str
    id: str
    subject: str | None
    body: str | None
    structure: tuple[str, ...]


class Rig(ABC):
    """One channel with its peer. Addresses are made for a name and for what the peer does with what comes there."""

    name: ClassVar[ChannelName]
    subject_takes_controls: ClassVar[bool]
    """Whether a subject can carry CR, LF and NUL as data; a channel that cannot refuses them."""
    dead_is_hard: ClassVar[bool] = True
    """Whether a dead address is suppressed; else the contact may be reached by another one under the same name."""
    carries_id: ClassVar[bool] = True
    """Whether the recipient gets the message's own id; where it does not, ``Arrived.id`` is the peer's."""
    html_body: ClassVar[str] = "<p title='{{name}}'>{{name}}</p>"
    """An HTML body that this channel can send."""
    most_bytes: ClassVar[int | None] = None
    """What one message holds at most; more is refused before anything is sent."""
    malformed: ClassVar[Sequence[tuple[Content, FailureReason]]] = (
        (Content(body="Hi {{ first name }}"), FailureReason.RENDER_ERROR),
        (Content(body="{{#each people}}"), FailureReason.RENDER_ERROR),
        (Content(body="{% for a in b %}"), FailureReason.RENDER_ERROR),
        (Content(subject="{{", body="Hi"), FailureReason.RENDER_ERROR),
    )
    """Contents that cannot be sent, and why."""

    channel: Channel

    @abstractmethod
    def address(self, who: str, peer: Peer = Peer.ACCEPTS) -> str:
        """An address of ``who``; from now on the peer does so with what comes there."""

    @abstractmethod
    def handed_over(self) -> int:
        """How many messages the peer has taken to their last byte, answered or not."""

    @abstractmethod
    def arrived(self) -> list[Arrived]:
        """Everything that the peer kept."""

    @abstractmethod
    def shown(self, text: str) -> str:
        """``text`` as a body of this channel shows it."""

    def shown_html(self, source: str) -> str:
        """``source``, an HTML body, as this channel shows it."""
        return self.shown(source)

    def envelope(self, address: str, **fields: Any) -> Envelope:
        """A message to one address, as a worker hands it over."""
        return envelope(address, **fields)

    def holds(self, text: str) -> bool:
        """Whether a message may have such a text."""
        return self.most_bytes is None or len(text.encode()) <= self.most_bytes

    def arrived_at(self, address: str) -> list[Arrived]:
        """What the peer kept for one address."""
        return [each for each in self.arrived() if each.address == address]
