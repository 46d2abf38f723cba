"""Every table. Times are BIGINT milliseconds since 1970 (UTC); ids are UUIDv7, so keys sort and partition by time.

A message is three rows: ``messages`` (narrow, updated by claims, outcomes and events), ``message_details``
(written once, per recipient) and ``contents`` (what was said, shared by all messages that say the same).
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Computed,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from models.lifecycle import BY_STATE, FILED_BY_FACT, FILED_BY_STATE, PRECEDENCE, File
from models.vocabulary import Fact, State

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[Any]:
    return Column("id", Uuid, primary_key=True)


def _workspace() -> Column[Any]:
    return Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False)


def _owner() -> Column[Any]:
    """The workspace of a row that is written by the million: no foreign key to check on each."""
    return Column("workspace_id", Uuid, nullable=False)


def _time(name: str, *, required: bool = False) -> Column[Any]:
    return Column(name, BigInteger, nullable=not required)


def _word(name: str, *, required: bool = True) -> Column[Any]:
    return Column(name, String(32), nullable=not required)


def _flag(name: str) -> Column[Any]:
    return Column(name, Boolean, nullable=False, server_default=text("false"))


def _count(name: str) -> Column[Any]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


def _first_of(by_fact: Iterable[tuple[Fact, StrEnum]], by_state: Mapping[State, StrEnum]) -> str:
    facts = [f"WHEN {fact.value}_at IS NOT NULL THEN '{shown.value}'" for fact, shown in by_fact]
    states = [f"WHEN state = '{state.value}' THEN '{shown.value}'" for state, shown in by_state.items()]
    return f"CASE {' '.join([*facts, *states])} ELSE NULL END"


FILED_UNDER: Final = f"({_first_of(FILED_BY_FACT, FILED_BY_STATE)})"
"""``lifecycle.filed_under`` over a row of ``messages``, in the very words of its indexes."""

NOT_ARRIVED: Final = f"{FILED_UNDER} IN ('{File.BOUNCED.value}', '{File.REPORTED.value}', '{File.GIVEN_UP.value}')"
"""Whether a message is filed under what BOUNCED or FAILED, in the very words of the index of these."""


workspaces = Table(
    "workspaces",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("settings", JSON, nullable=False),
    _time("created_at", required=True),
)

users = Table(
    "users",
    metadata,
    _id(),
    Column("email", Text, nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    _time("created_at", required=True),
)

memberships = Table(
    "memberships",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    _word("role"),
    Index(None, "workspace_id", "user_id"),
)

sessions = Table(
    "sessions",
    metadata,
    _id(),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    _time("created_at", required=True),
    Column("ends_at", BigInteger, nullable=False, index=True),  # put off by each use
    Index(None, "user_id", "id"),
)

sign_in_failures = Table(  # by keyed digests of accounts, devices and addresses, none of which need exist
    "sign_in_failures",
    metadata,
    Column("subject", LargeBinary(16), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("failed_at", BigInteger, nullable=False, index=True),
    _time("paused_until", required=True),
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    _workspace(),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("hint", String(8), nullable=False),
    Column("scopes", JSON, nullable=False),
    _time("created_at", required=True),
    _time("expires_at"),
    _time("revoked_at"),
    _time("last_used_at"),
    Index(None, "workspace_id", "id"),
)

secrets = Table(  # keys that we made ourselves, wrapped under WIREROOM_SECRET_KEY
    "secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
    _time("created_at", required=True),
)

contacts = Table(
    "contacts",
    metadata,
    _id(),
    _workspace(),
    Column("external_id", Text),
    Column("email", Text),
    Column("phone", Text),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("timezone", Text),
    Column("locale", Text),
    Column("attributes", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("telegram_chat_id", Text),
    Column("webhook_url", Text),
    Column("webhook_secret", LargeBinary),
    Column("webhook_secret_previous", LargeBinary),
    _time("webhook_secret_previous_until"),
    _time("created_at", required=True),
    _time("updated_at", required=True),
    _time("erased_at"),
    _flag("erasing"),  # erased, but a message of theirs may still say something
    UniqueConstraint("workspace_id", "external_id"),
    Index(None, "workspace_id", "id"),
    Index("ix_contacts_workspace_id_email", "workspace_id", "email", postgresql_where=text("email IS NOT NULL")),
    Index("ix_contacts_erasing", "erased_at", postgresql_where=text("erasing"), sqlite_where=text("erasing = 1")),
)

contact_terms = Table(  # what contacts are found by: their tags, and the words of their names and addresses
    "contact_terms",
    metadata,
    Column("workspace_id", Uuid, primary_key=True),
    Column("kind", String(4), primary_key=True),
    Column("term", LargeBinary, primary_key=True),
    Column("contact_id", Uuid, primary_key=True),
)

push_subscriptions = Table(
    "push_subscriptions",
    metadata,
    _id(),
    _workspace(),
    Column("contact_id", Uuid, ForeignKey("contacts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("endpoint", Text, nullable=False),
    Column("endpoint_digest", LargeBinary(32), nullable=False),
    Column("p256dh", Text, nullable=False),
    Column("auth", Text, nullable=False),
    Column("topic", Text),
    _time("created_at", required=True),
    UniqueConstraint("workspace_id", "endpoint_digest"),
    Index(None, "workspace_id", "id"),
)

templates = Table(
    "templates",
    metadata,
    _id(),
    _workspace(),
    Column("name", Text, nullable=False),
    Column("current_version", Integer, nullable=False),
    _time("created_at", required=True),
    _time("deleted_at"),
    Index(None, "workspace_id", "id"),
)

template_versions = Table(
    "template_versions",
    metadata,
    _id(),
    Column("template_id", Uuid, ForeignKey("templates.id", ondelete="CASCADE"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("parts", JSON, nullable=False),  # {channel or "*": {locale or "*": {subject, body, format}}}
    _time("created_at", required=True),
    UniqueConstraint("template_id", "version"),
)

campaigns = Table(
    "campaigns",
    metadata,
    _id(),
    _workspace(),
    Column("name", Text, nullable=False),
    _word("state"),
    _time("created_at", required=True),
    _time("deleted_at"),
    Index(None, "workspace_id", "id"),
)

journeys = Table(
    "journeys",
    metadata,
    _id(),
    _workspace(),
    Column("name", Text, nullable=False),
    _time("created_at", required=True),
    _time("deleted_at"),
    Index(None, "workspace_id", "id"),
)

contents = Table(
    "contents",
    metadata,
    _id(),
    _owner(),
    Column("source", LargeBinary, nullable=False),  # JSON of models.content.Content
    _time("used_at", required=True),
)

messages = Table(
    "messages",
    metadata,
    _id(),
    _owner(),
    Column("contact_id", Uuid, nullable=False),
    Column("campaign_id", Uuid),
    Column("journey_id", Uuid),
    _word("channel"),
    _word("lane"),
    # Ours: written under the token, by a person's command, or by proof of acceptance.
    _word("state"),
    Column("turn", BigInteger),  # set exactly while the row is ready to be claimed
    _time("due_at", required=True),
    _time("expires_at"),
    _flag("paused"),
    Column("token", BigInteger, nullable=False, server_default=text("0")),
    Column("worker_id", Uuid),
    _time("claimed_at"),
    _flag("begun"),  # kept for messages to be held when in doubt: their send may have begun
    Column("run", Integer, nullable=False, server_default=text("1")),
    _count("tries"),
    _count("crashes"),
    _time("queued_at", required=True),
    _time("sending_at"),
    _time("ended_at"),
    _word("failure_reason", required=False),
    # Facts of the present run: written by min() only.
    _time("sent_at"),
    _time("delivered_at"),
    _time("opened_at"),
    _time("clicked_at"),
    _time("soft_bounced_at"),
    _time("hard_bounced_at"),
    _time("failed_at"),
    _time("unsubscribed_at"),
    _time("complained_at"),
    _time("machine_opened_at"),
    _time("machine_clicked_at"),
    # ``lifecycle.status_of``, kept by the database itself: no writer can forget it.
    Column("status", String(32), Computed(_first_of(PRECEDENCE, BY_STATE), persisted=True)),
    Index("ix_messages_workspace_id_id", "workspace_id", "id"),
    Index("ix_messages_workspace_id_contact_id_id", "workspace_id", "contact_id", "id"),
    # Lists, by what a message is filed under; a list of everything is a merge of each. The status stands in no index.
    Index("ix_messages_workspace_id_channel_filed_id", "workspace_id", "channel", text(FILED_UNDER), "id"),
    Index(
        "ix_messages_workspace_id_campaign_id_filed_id",
        "workspace_id",
        "campaign_id",
        text(FILED_UNDER),
        "id",
        postgresql_where=text("campaign_id IS NOT NULL"),
        sqlite_where=text("campaign_id IS NOT NULL"),
    ),
    Index(
        "ix_messages_workspace_id_journey_id_id",
        "workspace_id",
        "journey_id",
        "id",
        postgresql_where=text("journey_id IS NOT NULL"),
        sqlite_where=text("journey_id IS NOT NULL"),
    ),
    # The ready rows alone: what a claim reads. Parked, paused and finished rows cost it nothing.
    Index(
        "ix_messages_ready",
        "channel",
        "lane",
        "turn",
        "id",
        postgresql_where=text("turn IS NOT NULL"),
        sqlite_where=text("turn IS NOT NULL"),
    ),
    # The same by workspace: what a claim reads that passes some workspaces over.
    Index(
        "ix_messages_ready_of_workspace",
        "channel",
        "lane",
        "workspace_id",
        "turn",
        postgresql_where=text("turn IS NOT NULL"),
        sqlite_where=text("turn IS NOT NULL"),
    ),
    Index(
        "ix_messages_suspects",
        "channel",
        "lane",
        "turn",
        postgresql_where=text("turn IS NOT NULL AND crashes >= 2"),
        sqlite_where=text("turn IS NOT NULL AND crashes >= 2"),
    ),
    # The parked rows alone, by lane and workspace: what the keeper reads, each workspace for itself.
    Index(
        "ix_messages_parked",
        "channel",
        "lane",
        "workspace_id",
        "due_at",
        postgresql_where=text("state = 'queued' AND turn IS NULL AND NOT paused"),
        sqlite_where=text("state = 'queued' AND turn IS NULL AND paused = 0"),
    ),
    Index(
        "ix_messages_expiring",
        "expires_at",
        postgresql_where=text("state = 'queued' AND expires_at IS NOT NULL"),
        sqlite_where=text("state = 'queued' AND expires_at IS NOT NULL"),
    ),
    # What a campaign's pause, resume and cancel have still to reach.
    Index(
        "ix_messages_campaign_queued",
        "campaign_id",
        "paused",
        postgresql_where=text("state = 'queued' AND campaign_id IS NOT NULL"),
        sqlite_where=text("state = 'queued' AND campaign_id IS NOT NULL"),
    ),
    Index(
        "ix_messages_held",
        "workspace_id",
        "id",
        postgresql_where=text("state = 'held'"),
        sqlite_where=text("state = 'held'"),
    ),
    # What did not arrive, and whose fault it was.
    Index(
        "ix_messages_not_arrived",
        "workspace_id",
        "id",
        text(FILED_UNDER),
        "failure_reason",
        postgresql_where=text(NOT_ARRIVED),
        sqlite_where=text(NOT_ARRIVED),
    ),
    Index(
        "ix_messages_claimed",
        "worker_id",
        postgresql_where=text("state = 'sending'"),
        sqlite_where=text("state = 'sending'"),
    ),
    # Room in a page for what its rows become: one that moves to another page is written into every index anew.
    postgresql_with={"fillfactor": 65},
)

message_details = Table(
    "message_details",
    metadata,
    Column("message_id", Uuid, primary_key=True),
    _owner(),
    Column("content_id", Uuid, index=True),  # null once its person was erased
    Column("template_version_id", Uuid),
    Column("step", Integer, nullable=False, server_default=text("1")),
    Column("subject", Text),
    # models.subject_words: what a search compares with; on SQLite separated by spaces.
    Column("subject_words", ARRAY(Text).with_variant(Text, "sqlite")),
    Column("address", Text),
    Column("address_digest", LargeBinary(16), nullable=False),
    Column("topic", Text),
    _flag("essential"),
    Column("on_unknown", String(8), nullable=False),
    Column("track_opens", Boolean, nullable=False),
    Column("track_clicks", Boolean, nullable=False),
    Column("variables", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("traceparent", String(55)),  # W3C Trace Context; written and read by processes that trace, and no others
    # A word that few subjects hold is found by it. SQLite has no such index and reads the subjects: its own is empty.
    Index("ix_message_details_subject_words", "subject_words", postgresql_using="gin", sqlite_where=text("false")),
)

attempts = Table(
    "attempts",
    metadata,
    Column("message_id", Uuid, primary_key=True),
    Column("token", BigInteger, primary_key=True),
    Column("run", Integer, nullable=False),
    _time("started_at", required=True),
    _time("ended_at", required=True),
    _word("outcome"),
    Column("code", Text),
    Column("detail", Text),
    Column("provider_id", Text),
    Column("parts", JSON(none_as_null=True)),  # of a message that is several: those that the peer took
    Index(None, "provider_id", postgresql_where=text("provider_id IS NOT NULL")),
)

inboxes = Table(  # one per contact that ever had an item: gives each change of its items the next number
    "inboxes",
    metadata,
    Column("contact_id", Uuid, ForeignKey("contacts.id", ondelete="CASCADE"), primary_key=True),
    Column("last_change", BigInteger, nullable=False),
)

inbox_items = Table(  # written when an ONSITE message's outcome is recorded
    "inbox_items",
    metadata,
    Column("message_id", Uuid, primary_key=True),
    Column("contact_id", Uuid, ForeignKey("inboxes.contact_id", ondelete="CASCADE"), nullable=False),
    Column("run", Integer, nullable=False),
    Column("number", BigInteger, nullable=False),  # the change that it came with: its place in the list
    Column("change", BigInteger, nullable=False),  # its latest change
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("is_html", Boolean, nullable=False),
    Column("url", Text),
    Column("icon", Text),
    _time("created_at", required=True),
    _time("expires_at"),
    _time("read_at"),
    _time("clicked_at"),
    _time("archived_at"),
    UniqueConstraint("contact_id", "number"),
    UniqueConstraint("contact_id", "change"),
    Index(
        "ix_inbox_items_unread",
        "contact_id",
        postgresql_where=text("read_at IS NULL AND archived_at IS NULL"),
        sqlite_where=text("read_at IS NULL AND archived_at IS NULL"),
    ),
)

hooks = Table(
    "hooks",
    metadata,
    _id(),
    _workspace(),
    _word("provider"),
    Column("hook_key_digest", LargeBinary(32), nullable=False, unique=True),
    Column("hook_key", LargeBinary, nullable=False),
    Column("signing_key", LargeBinary),
    Column("signing_key_previous", LargeBinary),
    _time("signing_key_previous_until"),
    Column("basic_auth", LargeBinary),
    Column("topic_arns", JSON, nullable=False),
    _time("created_at", required=True),
    Index(None, "workspace_id", "id"),
)

subscriptions = Table(  # where our own status events go
    "subscriptions",
    metadata,
    _id(),
    _workspace(),
    Column("url", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("secret_previous", LargeBinary),
    _time("secret_previous_until"),
    _flag("paused"),
    _time("disabled_at"),  # it failed for days, or said that it is gone: nothing is sent there until a person says so
    _word("disabled_reason", required=False),
    _time("created_at", required=True),
    Index(None, "workspace_id", "id"),
)

status_events = Table(  # written by the triggers of migration 0007: what a subscription is told, once of each
    "status_events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    _owner(),
    Column("subscription_id", Uuid, nullable=False),
    Column("message_id", Uuid, nullable=False),
    _word("type"),
    _time("at", required=True),  # of the fact
    _word("reason", required=False),  # of a failure; of a bounce, how lasting it is
    _time("created_at", required=True),
    Column("state", String(32), nullable=False, server_default=text("'pending'")),  # a NoticeState
    _time("due_at", required=True),  # while a worker has it in hand: when others may take it for lost
    Column("token", BigInteger, nullable=False, server_default=text("0")),
    _count("tries"),
    _time("ended_at"),
    Column("attempts", JSON(none_as_null=True)),  # null before the first
    UniqueConstraint("message_id", "type", "subscription_id"),
    Index(None, "subscription_id", "id"),
    Index(
        "ix_status_events_waiting",
        "subscription_id",
        "due_at",
        postgresql_where=text("state = 'pending'"),
        sqlite_where=text("state = 'pending'"),
    ),
    Index(
        "ix_status_events_ended",
        "ended_at",
        postgresql_where=text("ended_at IS NOT NULL"),
        sqlite_where=text("ended_at IS NOT NULL"),
    ),
)

hook_tokens = Table(  # what proved a request and does not cover its body: good for one body alone
    "hook_tokens",
    metadata,
    Column("workspace_id", Uuid, primary_key=True),
    Column("hook_id", Uuid, primary_key=True),
    Column("token_digest", LargeBinary(32), primary_key=True),
    Column("body_digest", LargeBinary(32), nullable=False),
    Column("seen_at", BigInteger, nullable=False, index=True),
)

events = Table(
    "events",
    metadata,
    _id(),
    _owner(),
    Column("source_id", Uuid, nullable=False),  # the hook, or the workspace for our own links
    Column("dedupe_key", LargeBinary(32), nullable=False),
    _word("provider"),
    _word("type"),
    Column("provider_event", Text, nullable=False),
    Column("message_ref", Uuid),  # our own id, as the event carries it
    Column("provider_ref", Text),
    Column("message_id", Uuid),  # once matched; of a hit from the start
    Column("run", Integer),
    Column("recipient", Text),
    _time("at", required=True),
    _time("received_at", required=True),
    _word("bounce_type", required=False),
    Column("reason", Text),
    _flag("machine"),
    Column("raw", LargeBinary, nullable=False),
    _time("applied_at"),
    _time("retry_at"),  # set exactly while it is put aside: it matches no message yet, or a hit that settles
    UniqueConstraint("source_id", "dedupe_key"),
    Index(None, "workspace_id", "id"),
    Index(None, "message_id", "id", postgresql_where=text("message_id IS NOT NULL")),
    Index(
        "ix_events_unmatched",
        "workspace_id",
        "id",
        postgresql_where=text("message_id IS NULL"),
        sqlite_where=text("message_id IS NULL"),
    ),
    Index(
        "ix_events_unapplied",
        "id",
        postgresql_where=text("applied_at IS NULL AND retry_at IS NULL"),
        sqlite_where=text("applied_at IS NULL AND retry_at IS NULL"),
    ),
    Index(
        "ix_events_parked",
        "retry_at",
        postgresql_where=text("applied_at IS NULL AND retry_at IS NOT NULL"),
        sqlite_where=text("applied_at IS NULL AND retry_at IS NOT NULL"),
    ),
)

suppressions = Table(
    "suppressions",
    metadata,
    _id(),
    _workspace(),
    _word("channel"),
    Column("address_digest", LargeBinary(16), nullable=False),
    _word("kind"),
    Column("topic", Text, nullable=False, server_default=text("''")),  # '' covers the whole channel
    Column("address", Text),
    Column("reason", Text, nullable=False),
    Column("message_id", Uuid),
    _time("created_at", required=True),
    _time("expires_at"),
    Column("note", Text),
    _time("said_at"),  # of an opt-out: when it was last called for, where that is not when it was made
    UniqueConstraint("workspace_id", "channel", "address_digest", "kind", "topic"),
    Index(None, "workspace_id", "id"),
)

suppression_releases = Table(  # who let an address be written to again, and what had stood against it
    "suppression_releases",
    metadata,
    _id(),  # the suppression's own
    _workspace(),
    _word("channel"),
    Column("address_digest", LargeBinary(16), nullable=False),
    _word("kind"),
    Column("topic", Text, nullable=False),
    Column("address", Text),
    Column("reason", Text, nullable=False),
    _time("suppressed_at", required=True),
    _time("released_at", required=True),
    Column("released_by", Text, nullable=False),
    Column("note", Text),
    Index(None, "workspace_id", "released_at", "id"),
    Index(None, "workspace_id", "address_digest"),
)

resubscriptions = Table(  # the last time that a reader subscribed again at the provider
    "resubscriptions",
    metadata,
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    Column("channel", String(32), primary_key=True),
    Column("address_digest", LargeBinary(16), primary_key=True),
    Column("topic", Text, primary_key=True),
    _time("said_at", required=True),
)

audit_entries = Table(  # what people, keys and the command line did; never changed (a trigger of migration 0011)
    "audit_entries",
    metadata,
    _id(),
    Column("workspace_id", Uuid),  # null: it concerns none, or nobody knows which
    _time("at", required=True),
    _word("actor_kind"),
    Column("actor_id", Uuid),
    _word("action"),
    _word("ending"),
    _word("object_kind", required=False),
    Column("object_id", Uuid),
    Column("details", JSON, nullable=False),
    Column("request_id", String(64)),
    Index(None, "workspace_id", "id"),
    Index(None, "object_id", "id", postgresql_where=text("object_id IS NOT NULL")),
)

failing_endpoints = Table(  # a webhook's, from its first failure after a success to the next success
    "failing_endpoints",
    metadata,
    Column("workspace_id", Uuid, primary_key=True),
    Column("address_digest", LargeBinary(16), primary_key=True),
    _time("first_failed_at", required=True),
    _time("last_failed_at", required=True),
    Column("failures", Integer, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    _id(),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    _time("started_at", required=True),
    _time("renewed_at", required=True),
    _time("dead_at"),
)

lanes = Table(  # turns given so far: per workspace, and (under the zero workspace) the lane's last claimed
    "lanes",
    metadata,
    Column("channel", String(32), primary_key=True),
    Column("lane", String(32), primary_key=True),
    Column("workspace_id", Uuid, primary_key=True),
    Column("last_turn", BigInteger, nullable=False),
)

channel_pauses = Table(  # a sender that is misconfigured rests, for all workers
    "channel_pauses",
    metadata,
    Column("channel", String(32), primary_key=True),
    _time("until", required=True),
    Column("detail", Text, nullable=False),
)

senders = Table(  # a workspace's own ways out on a channel, beside the operator's
    "senders",
    metadata,
    _id(),
    _workspace(),
    _word("channel"),
    Column("name", Text, nullable=False),
    Column("credentials", LargeBinary, nullable=False),  # sealed
    Column("hint", JSON, nullable=False),  # what may be shown of them
    Column("position", Integer, nullable=False),
    Column("weight", Integer, nullable=False),
    Column("per_second", Float),  # null: no limit
    _flag("paused"),
    _count("failures"),  # rests since it last worked
    _time("resting_until"),
    Column("last_error", Text),
    Column("version", Integer, nullable=False, server_default=text("1")),  # of the credentials
    _time("created_at", required=True),
    _time("updated_at", required=True),
    Index(None, "workspace_id", "channel", "position", "id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("workspace_id", Uuid, primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("message_id", Uuid, nullable=False),
    _time("created_at", required=True),
    Index(None, "created_at"),
)


def _counted() -> list[Column[Any]]:
    return [
        Column("workspace_id", Uuid, nullable=False),
        Column("campaign_id", Uuid, nullable=False),  # the zero id for none
        Column("channel", String(32), nullable=False),
        Column("status", String(32), nullable=False),
        Column("held", Boolean, nullable=False),
    ]


message_counts = Table(  # kept by the triggers of migration 0002
    "message_counts",
    metadata,
    *_counted(),
    Column("number", BigInteger, nullable=False),
    PrimaryKeyConstraint("workspace_id", "campaign_id", "channel", "status", "held"),
)

message_count_changes = Table(  # on PostgreSQL: what is not folded into the counts yet
    "message_count_changes",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    *_counted(),
    Column("change", BigInteger, nullable=False),
)


def _measured() -> list[Column[Any]]:
    return [
        Column("workspace_id", Uuid, nullable=False),
        Column("campaign_id", Uuid, nullable=False),
        Column("measure", String(40), nullable=False),  # a fact, or "failed." and the reason
    ]


campaign_counts = Table(  # kept by the triggers of migration 0007
    "campaign_counts",
    metadata,
    *_measured(),
    Column("number", BigInteger, nullable=False),
    PrimaryKeyConstraint("workspace_id", "campaign_id", "measure"),
)

campaign_count_changes = Table(  # on PostgreSQL: what is not folded into the counts yet
    "campaign_count_changes",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    *_measured(),
    Column("change", BigInteger, nullable=False),
)
