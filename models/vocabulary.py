"""The closed vocabularies of Wireroom: every word that is stored or shown is a member of one, with a sentence under it.

Those of what is reported to us stand in ``evidence``, whose fault a failure is in ``faults``, what holds a message in
``why``.
"""

from enum import StrEnum


class Channel(StrEnum):
    """The ways a message can leave the house."""

    EMAIL = "EMAIL"
    """A mail, by SMTP."""
    PUSH = "PUSH"
    """A web push notification (RFC 8030), to every browser of the contact."""
    TELEGRAM = "TELEGRAM"
    """A Telegram message, by the Bot API."""
    ONSITE = "ONSITE"
    """A row in the contact's in-app inbox."""
    WEBHOOK = "WEBHOOK"
    """A signed HTTP POST (Standard Webhooks)."""


class Lane(StrEnum):
    """Two queues per channel, so that a campaign never stands before a password reset."""

    TRANSACTIONAL = "transactional"
    """One person waits for this message now."""
    BULK = "bulk"
    """One of many; may wait its turn."""


class State(StrEnum):
    """Where a message stands in our own hands. Owned by the sending side alone."""

    QUEUED = "queued"
    """Waits for its time or its turn."""
    SENDING = "sending"
    """Claimed by one worker under one fencing token."""
    DONE = "done"
    """A peer accepted it."""
    FAILED = "failed"
    """It will not be tried again."""
    HELD = "held"
    """Nobody knows whether a peer accepted it; a person or an event decides."""
    CANCELLED = "cancelled"
    """A person called it back before it was sent."""


class Status(StrEnum):
    """What a reader is shown; computed from facts and state by ``lifecycle``, never stored."""

    QUEUED = "QUEUED"
    """Accepted; not yet taken up by a worker."""
    SENDING = "SENDING"
    """Taken up by a worker, or held because its end is unknown."""
    SENT = "SENT"
    """The channel's peer accepted it."""
    DELIVERED = "DELIVERED"
    """The peer reports that it reached the recipient's side."""
    OPENED = "OPENED"
    """The recipient saw it."""
    CLICKED = "CLICKED"
    """The recipient followed something in it."""
    BOUNCED = "BOUNCED"
    """The recipient's side refused it for good."""
    FAILED = "FAILED"
    """It was given up, cancelled, or expired."""
    UNSUBSCRIBED = "UNSUBSCRIBED"
    """The recipient asked for no more of it, or complained."""


class Fact(StrEnum):
    """What is known to have happened to a message. One nullable time each; the earliest wins."""

    SENT = "sent"
    """A peer accepted it."""
    DELIVERED = "delivered"
    """It reached the recipient's side."""
    OPENED = "opened"
    """A person saw it."""
    CLICKED = "clicked"
    """A person followed something in it."""
    SOFT_BOUNCED = "soft_bounced"
    """Refused for a reason that may pass, and the provider gave up."""
    HARD_BOUNCED = "hard_bounced"
    """Refused for good."""
    FAILED = "failed"
    """The provider says that it will not deliver, for a reason other than a bounce."""
    UNSUBSCRIBED = "unsubscribed"
    """The recipient asked for no more."""
    COMPLAINED = "complained"
    """The recipient called it spam."""
    MACHINE_OPENED = "machine_opened"
    """A scanner or a prefetching proxy fetched the open pixel."""
    MACHINE_CLICKED = "machine_clicked"
    """A scanner followed a link."""


class EventType(StrEnum):
    """What a provider or a reader reported, in our words."""

    ACCEPTED = "accepted"
    """The provider took the message over."""
    DEFERRED = "deferred"
    """The provider will try again by itself."""
    DELIVERED = "delivered"
    """It reached the recipient's side."""
    OPENED = "opened"
    """It was seen; ``machine`` says by whom."""
    CLICKED = "clicked"
    """Something in it was followed; ``machine`` says by whom."""
    BOUNCED = "bounced"
    """Refused; ``bounce_type`` says for how long."""
    FAILED = "failed"
    """The provider gave it up for a reason of its own."""
    COMPLAINED = "complained"
    """The recipient called it spam."""
    UNSUBSCRIBED = "unsubscribed"
    """The recipient asked for no more."""
    RESUBSCRIBED = "resubscribed"
    """The recipient wants it again."""
    IGNORED = "ignored"
    """Kept for the record; changes nothing."""


class BounceType(StrEnum):
    """How lasting a refusal is."""

    HARD = "hard"
    """The address is dead."""
    SOFT = "soft"
    """The address may work another day."""


class Outcome(StrEnum):
    """How one attempt ended."""

    ACCEPTED = "accepted"
    """The peer took the message."""
    TRANSIENT = "transient"
    """The peer refused for now."""
    PERMANENT = "permanent"
    """The peer refused for good."""
    UNKNOWN = "unknown"
    """The peer may have accepted: the line broke after the irreversible byte."""
    AMBIGUOUS = "ambiguous"
    """Our own process was lost while the attempt ran: nobody knows its end."""


class FailureReason(StrEnum):
    """Why a message was refused, failed or bounced. Stable words that clients may switch on."""

    NO_ADDRESS = "no_address"
    """The contact has no address on that channel."""
    INVALID_ADDRESS = "invalid_address"
    """The address is malformed."""
    OPTED_OUT = "opted_out"
    """The contact unsubscribed from this topic or channel."""
    SUPPRESSED = "suppressed"
    """The address is suppressed: it bounced, or its owner complained."""
    CHANNEL_NOT_CONFIGURED = "channel_not_configured"
    """No sender is configured for the channel."""
    UNKNOWN_TEMPLATE = "unknown_template"
    """No such template."""
    UNKNOWN_CAMPAIGN = "unknown_campaign"
    """No such campaign."""
    UNKNOWN_JOURNEY = "unknown_journey"
    """No such journey."""
    RENDER_ERROR = "render_error"
    """The text does not render."""
    HEADER_INJECTION = "header_injection"
    """A rendered subject or header holds CR, LF or another control character."""
    CANCELLED = "cancelled"
    """A person called it back, or its campaign was cancelled."""
    EXPIRED = "expired"
    """Its ``expiresAt`` passed first."""
    ERASED = "erased"
    """The contact was erased."""
    EXHAUSTED = "exhausted"
    """Every try of the schedule failed."""
    UNREACHABLE = "unreachable"
    """Every try of the schedule failed, the last one on our own side: the way to the provider, or the house itself."""
    POISON = "poison"
    """Sending it ended its worker process again and again."""
    ADDRESS_DEAD = "address_dead"
    """The recipient's side says that the address does not exist."""
    BLOCKED = "blocked"
    """The chat takes nothing from this bot: it was blocked or removed, or nobody there has begun with it."""
    MAILBOX_FULL = "mailbox_full"
    """The recipient's mailbox is full."""
    POLICY = "policy"
    """Refused by policy: spam, authentication, reputation."""
    TOO_LARGE = "too_large"
    """Larger than the peer takes."""
    REJECTED = "rejected"
    """Refused for good, for another reason."""
    FORBIDDEN_DESTINATION = "forbidden_destination"
    """The guard of outgoing requests refused the destination."""
    ENDPOINT_GONE = "endpoint_gone"
    """The endpoint answered 410."""
    GIVEN_UP = "given_up"
    """A person failed a held message."""
    PROVIDER_FAILED = "provider_failed"
    """The provider reported that it gave the message up."""


class OnUnknown(StrEnum):
    """What to do when an attempt's end is unknown."""

    RETRY = "retry"
    """Send again; the recipient may get it twice."""
    HOLD = "hold"
    """Hold it until an event or a person decides."""


class SuppressionKind(StrEnum):
    """What a suppression stands for."""

    DEAD = "dead"
    """The address does not work, or its owner complained: nothing is sent there."""
    OPT_OUT = "opt_out"
    """The owner wants no more of a topic, or of the channel: only essential messages are sent."""


class StatusEvent(StrEnum):
    """What a subscription is told of: the first time that each thing happens to a message."""

    SENT = "message.sent"
    """The channel's peer accepted it."""
    DELIVERED = "message.delivered"
    """It reached the recipient's side."""
    OPENED = "message.opened"
    """A person saw it."""
    CLICKED = "message.clicked"
    """A person followed something in it."""
    BOUNCED = "message.bounced"
    """The recipient's side refused it for good."""
    FAILED = "message.failed"
    """It was given up, cancelled, or expired."""
    UNSUBSCRIBED = "message.unsubscribed"
    """The recipient asked for no more."""
    COMPLAINED = "message.complained"
    """The recipient called it spam."""


class NoticeState(StrEnum):
    """What became of an event that a subscription was to be told."""

    PENDING = "pending"
    """It is to be told, or to be tried again."""
    DELIVERED = "delivered"
    """The endpoint answered with a 2xx."""
    FAILED = "failed"
    """Every try of the schedule failed, or it cannot be told at all."""


class CampaignState(StrEnum):
    """Whether a campaign's messages may go out."""

    RUNNING = "running"
    """They go out as they become due."""
    PAUSED = "paused"
    """They wait."""
    CANCELLED = "cancelled"
    """Those not yet sent never will be."""


class Scope(StrEnum):
    """What an API key may do."""

    MESSAGES_READ = "messages:read"
    """Read messages and events."""
    MESSAGES_WRITE = "messages:write"
    """Send, cancel, retry, release."""
    ESSENTIAL = "essential"
    """Send messages that ignore opt-outs."""
    CONTACTS = "contacts"
    """Read and write contacts and suppressions."""
    HOOKS = "hooks"
    """Read and write hooks and subscriptions."""
    ADMIN = "admin"
    """Everything else of the workspace."""


class Role(StrEnum):
    """What a person is in a workspace."""

    ADMIN = "admin"
    """May do everything."""
    MEMBER = "member"
    """May do the daily work: everything but ``admin`` and ``essential``."""
