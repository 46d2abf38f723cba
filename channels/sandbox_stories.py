"""What becomes of a message in a sandbox: its address tells the story. A pure table; docs/sandbox.md shows it.

The domain is under ``.invalid``, of which RFC 6761, section 6.4, promises that it never exists: what is sent there
with a live key by mistake reaches nobody. ``.test`` would not do, which many networks resolve for themselves.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec
from yarl import URL

from models.vocabulary import BounceType, Channel, EventType, FailureReason

DOMAIN: Final = "sandbox.invalid"
_CHAT: Final = "@sandbox_"

_ALL: Final = frozenset(Channel)
_OUTSIDE: Final = _ALL - {Channel.ONSITE}
"""The channels that have a peer, which may be slow, or down."""
_WITHOUT_ADDRESS: Final = frozenset({Channel.PUSH, Channel.ONSITE})
"""There the contact's mail address tells the story."""


class Answer(StrEnum):
    """What the peer does with one try."""

    ACCEPTS = "accepts"
    """Takes the message."""
    ACCEPTS_SLOWLY = "accepts-slowly"
    """Takes it after some seconds."""
    NOT_NOW = "not-now"
    """Refuses it for now."""
    NEVER = "never"
    """Refuses it for good, and the address lives."""
    DEAD = "dead"
    """Says that nobody is there any more."""
    CUTS = "cuts"
    """Gets the whole message, and the line breaks before the answer."""


class Report(msgspec.Struct, frozen=True):
    """What the peer reports of a message that it took, ``after_ms`` of taking it."""

    type: EventType
    after_ms: int = 0
    bounce_type: BounceType | None = None
    reason: str | None = None
    machine: bool = False


class Story(msgspec.Struct, frozen=True):
    """``answers``: one for each try, the last one for all that follow. ``tells``: for people.

    ``refusal``: why the message is not even accepted. ``reports``: as far as the channel has such.
    """

    name: str
    tells: str
    channels: frozenset[Channel] = _ALL
    answers: tuple[Answer, ...] = (Answer.ACCEPTS,)
    reports: tuple[Report, ...] = ()
    refusal: FailureReason | None = None

    def answer(self, tries: int) -> Answer:
        """What the peer does after so many tries that it refused for now, or whose end nobody knows."""
        return self.answers[min(tries, len(self.answers) - 1)]


_DELIVERED: Final = Report(EventType.DELIVERED)
_OPENED: Final = Report(EventType.OPENED, 1_000)
_CLICKED: Final = Report(EventType.CLICKED, 2_000)

STORIES: Final = (
    Story("delivered", "It arrives. So does what goes to any address without a story.", reports=(_DELIVERED,)),
    Story(
        "opened",
        "It arrives, and is opened a second later.",
        frozenset({Channel.EMAIL, Channel.PUSH, Channel.ONSITE}),
        reports=(_DELIVERED, _OPENED),
    ),
    Story(
        "clicked",
        "It arrives, is opened, and a link in it is followed.",
        _ALL - {Channel.WEBHOOK},
        reports=(_DELIVERED, _OPENED, _CLICKED),
    ),
    Story(
        "machine-opened",
        "It arrives, and a program fetches its pictures: no person opened it.",
        frozenset({Channel.EMAIL}),
        reports=(_DELIVERED, Report(EventType.OPENED, 1_000, machine=True)),
    ),
    Story(
        "unsubscribed",
        "It arrives, and its reader wants no more.",
        frozenset({Channel.EMAIL, Channel.TELEGRAM, Channel.ONSITE}),
        reports=(_DELIVERED, Report(EventType.UNSUBSCRIBED, 1_000)),
    ),
    Story(
        "complained",
        "It arrives, and its reader calls it spam.",
        frozenset({Channel.EMAIL}),
        reports=(_DELIVERED, Report(EventType.COMPLAINED, 1_000)),
    ),
    Story(
        "bounced",
        "The address is dead: reported once the mail was taken; on other channels the answer to the first try.",
        _OUTSIDE,
        (Answer.DEAD,),
        (Report(EventType.BOUNCED, 0, BounceType.HARD, FailureReason.ADDRESS_DEAD.value),),
    ),
    Story(
        "bounced-late",
        "It arrives, and a second later the recipient's side sends it back.",
        frozenset({Channel.EMAIL}),
        reports=(
            _DELIVERED,
            Report(EventType.BOUNCED, 1_000, BounceType.HARD, FailureReason.ADDRESS_DEAD.value),
        ),
    ),
    Story(
        "mailbox-full",
        "A soft bounce: the mailbox is full.",
        frozenset({Channel.EMAIL}),
        reports=(Report(EventType.BOUNCED, 0, BounceType.SOFT, FailureReason.MAILBOX_FULL.value),),
    ),
    Story(
        "failed",
        "It is taken, and then the provider gives it up.",
        frozenset({Channel.EMAIL}),
        reports=(Report(EventType.FAILED),),
    ),
    Story(
        "rejected",
        "It is refused for good at the first try.",
        frozenset({Channel.EMAIL, Channel.PUSH, Channel.TELEGRAM}),
        (Answer.NEVER,),
    ),
    Story(
        "deferred",
        "The first try is refused for now; the second one, some seconds later, arrives.",
        _OUTSIDE,
        (Answer.NOT_NOW, Answer.ACCEPTS),
        (_DELIVERED,),
    ),
    Story(
        "unavailable",
        "Every try is refused for now, until the channel's schedule ends.",
        _OUTSIDE,
        (Answer.NOT_NOW,),
    ),
    Story(
        "unknown",
        "The line breaks at the first try, and nobody knows whether it arrived: it is sent again, which arrives, "
        "or held where `onUnknown` is `hold`.",
        _OUTSIDE,
        (Answer.CUTS, Answer.ACCEPTS),
        (_DELIVERED,),
    ),
    Story(
        "slow",
        "The peer takes three seconds to answer; then it arrives.",
        _OUTSIDE,
        (Answer.ACCEPTS_SLOWLY,),
        (_DELIVERED,),
    ),
    Story(
        "suppressed",
        "Refused as for an address that is suppressed.",
        refusal=FailureReason.SUPPRESSED,
    ),
    Story(
        "opted-out",
        "Refused as for a reader who opted out; an `essential` message arrives.",
        reports=(_DELIVERED,),
        refusal=FailureReason.OPTED_OUT,
    ),
)

_BY_NAME: Final[Mapping[str, Story]] = {story.name: story for story in STORIES}
_ARRIVES: Final = _BY_NAME["delivered"]

REPORTED: Final[Mapping[Channel, frozenset[EventType]]] = {
    Channel.EMAIL: frozenset(EventType),
    Channel.PUSH: frozenset({EventType.OPENED, EventType.CLICKED}),
    Channel.TELEGRAM: frozenset({EventType.CLICKED, EventType.UNSUBSCRIBED}),
    Channel.ONSITE: frozenset({EventType.OPENED, EventType.CLICKED, EventType.UNSUBSCRIBED}),
    Channel.WEBHOOK: frozenset(),
}
"""What is ever reported on each channel; ONSITE and WEBHOOK know at once that it arrived."""


def story_of(channel: Channel, address: str) -> Story:
    """The story that the address tells; where it tells none that this channel knows, the message arrives."""
    story = _BY_NAME.get(_name_in(channel, address), _ARRIVES)
    return story if channel in story.channels else _ARRIVES


def reports_of(channel: Channel, story: Story) -> list[Report]:
    """What the channel's peer reports of a message that it took, in the order of time."""
    return [report for report in story.reports if report.type in REPORTED[channel]]


def address_of_contact(channel: Channel, email: str | None) -> str | None:
    """What tells the story where a contact itself is the address: its mail address, if that is the sandbox's."""
    if email is None or channel not in _WITHOUT_ADDRESS or not email.lower().endswith(f"@{DOMAIN}"):
        return None
    return email


def address_for(channel: Channel, story: Story) -> str:
    """An address that tells the story; on PUSH and ONSITE the contact's mail address."""
    match channel:
        case Channel.TELEGRAM:
            return _CHAT + story.name.replace("-", "_")
        case Channel.WEBHOOK:
            return f"https://{story.name}.{DOMAIN}/"
        case _:
            return f"{story.name}@{DOMAIN}"


def _name_in(channel: Channel, address: str) -> str:
    """The story's name, as each channel writes it; the empty string where there is none."""
    match channel:
        case Channel.TELEGRAM:
            prefix, found, name = address.lower().partition(_CHAT)
            return name.replace("_", "-") if found and not prefix else ""
        case Channel.WEBHOOK:
            name, _, domain = (URL(address).host or "").partition(".")
            return name if domain == DOMAIN else ""
        case _:
            local, _, domain = address.lower().rpartition("@")
            return local.partition("+")[0] if domain == DOMAIN else ""
