"""What subscriptions are told of messages, and what a campaign's came to: written with the row that changes.

Triggers, as in 0002, so that no writer can forget it, and so that it is in the same transaction. A workspace without
a subscription has no status events, and the look for one is all that it costs. What is told and counted is what a
reader is shown: a step that a later one implies comes with that (``models.lifecycle``).
"""

from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"

_OPENED = ("opened_at", "clicked_at")
_DELIVERED = ("delivered_at", *_OPENED, "complained_at")
_TIMES = {
    "sent": ("sent_at", *_DELIVERED),
    "delivered": _DELIVERED,
    "opened": _OPENED,
    "clicked": ("clicked_at",),
    "bounced": ("hard_bounced_at", "soft_bounced_at"),
    "unsubscribed": ("unsubscribed_at",),
    "complained": ("complained_at",),
}
"""The columns of which the earliest is an event's time. FAILED is no fact alone: ``_events``."""

_COLUMNS = "workspace_id, subscription_id, message_id, type, at, reason, created_at, due_at"
_MEASURES = {
    **{fact: columns for fact, columns in _TIMES.items() if fact != "bounced"},
    "machine_opened": ("machine_opened_at",),
    "machine_clicked": ("machine_clicked_at",),
}
"""The columns of which one at least is known of a message that counts; and of those that FAILED, each reason."""

_MEASURED = "workspace_id, campaign_id, measure"
_REASON = "'failed.' || coalesce({0}failure_reason, 'provider_failed')"
_ROWS = {
    "new": ("INSERT", "NEW TABLE AS new_rows", (("new_rows", 1),)),
    "changed": ("UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows", (("old_rows", -1), ("new_rows", 1))),
    "removed": ("DELETE", "OLD TABLE AS old_rows", (("old_rows", -1),)),
}
_NOW = {
    "postgresql": "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS bigint)",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
}


def upgrade() -> None:
    _make_table()
    op.add_column("subscriptions", sa.Column("disabled_at", sa.BigInteger(), nullable=True))
    op.add_column("subscriptions", sa.Column("disabled_reason", sa.String(length=32), nullable=True))
    _make_counts()
    if op.get_bind().dialect.name == "postgresql":
        _tell_by_statement()
        _count_by_statement()
    else:
        _tell_by_row()
        _count_by_row()
    _count_what_is_there()


def _make_table() -> None:
    op.create_table(
        "status_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=32), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_status_events")),
        sa.UniqueConstraint(
            "message_id", "type", "subscription_id", name=op.f("uq_status_events_message_id_type_subscription_id")
        ),
    )
    op.create_index(op.f("ix_status_events_subscription_id_id"), "status_events", ["subscription_id", "id"])
    for name, columns, condition in (
        ("ix_status_events_ended", ["ended_at"], sa.text("ended_at IS NOT NULL")),
        ("ix_status_events_waiting", ["subscription_id", "due_at"], sa.text("state = 'pending'")),
    ):
        op.create_index(name, "status_events", columns, postgresql_where=condition, sqlite_where=condition)


def _events(row: str, least: Callable[[list[str]], str]) -> list[tuple[str, str, str]]:
    """Type, time and reason of each event, read from a row of ``messages``; ``least`` takes columns to an earliest."""
    times = {event: least([f"{row}{column}" for column in columns]) for event, columns in _TIMES.items()}
    times["failed"] = (
        f"CASE WHEN {row}failed_at IS NOT NULL THEN {row}failed_at WHEN {row}status = 'FAILED' THEN {row}ended_at END"
    )
    reasons = {
        "failed": f"CASE WHEN {row}failed_at IS NULL THEN {row}failure_reason ELSE 'provider_failed' END",
        "bounced": f"CASE WHEN {row}hard_bounced_at IS NULL THEN 'soft' ELSE 'hard' END",
    }
    return [(f"message.{event}", at, reasons.get(event, "NULL")) for event, at in times.items()]


def _least(columns: list[str]) -> str:
    return f"LEAST({', '.join(columns)})"


def _least_on_sqlite(columns: list[str]) -> str:
    """There, the least of some is NULL where one of them is, and the least of one is another function."""
    never = 2**62
    given = [f"coalesce({column}, {never})" for column in columns]
    return columns[0] if len(columns) == 1 else f"nullif(min({', '.join(given)}), {never})"


def _tell_by_statement() -> None:
    def told(table: str, *, is_new: bool) -> str:
        values = ", ".join(f"('{event}', {at}, CAST({reason} AS text))" for event, at, reason in _events("r.", _least))
        return (
            f"SELECT r.id, r.workspace_id, told.type, told.at, told.reason, {str(is_new).lower()} AS is_new"
            f" FROM {table} r CROSS JOIN LATERAL (VALUES {values}) AS told (type, at, reason)"
            " WHERE told.at IS NOT NULL AND r.workspace_id IN (SELECT workspace_id FROM subscriptions)"
        )

    # Grouped, not joined: the plan is made once, by however few rows the first statement changes.
    op.execute(
        "CREATE FUNCTION tell_of_messages() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN"
        " IF NOT EXISTS (SELECT FROM subscriptions) THEN RETURN NULL; END IF;"
        f" INSERT INTO status_events ({_COLUMNS})"
        f" SELECT s.workspace_id, s.id, news.id, news.type, news.at, news.reason, {_NOW['postgresql']},"
        f" {_NOW['postgresql']}"
        " FROM (SELECT id, workspace_id, type, max(at) AS at, max(reason) AS reason"
        f" FROM ({told('old_rows', is_new=False)} UNION ALL {told('new_rows', is_new=True)}) AS both_rows"
        " GROUP BY id, workspace_id, type HAVING bool_and(is_new)) AS news"
        " JOIN subscriptions s ON s.workspace_id = news.workspace_id AND s.disabled_at IS NULL"
        " AND CAST(s.events AS jsonb) @> to_jsonb(news.type)"
        " ORDER BY news.id ON CONFLICT DO NOTHING;"
        " RETURN NULL; END $body$"
    )
    op.execute(
        "CREATE TRIGGER tell_of_messages AFTER UPDATE ON messages"
        " REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"
        " FOR EACH STATEMENT EXECUTE FUNCTION tell_of_messages()"
    )


def _tell_by_row() -> None:
    new, old = _events("NEW.", _least_on_sqlite), _events("OLD.", _least_on_sqlite)
    told = " UNION ALL ".join(
        f"SELECT '{event}' AS type, {at} AS at, {reason} AS reason WHERE ({at}) IS NOT NULL AND ({before}) IS NULL"
        for (event, at, reason), (_, before, _) in zip(new, old, strict=True)
    )
    op.execute(
        "CREATE TRIGGER tell_of_messages AFTER UPDATE ON messages"
        " WHEN EXISTS (SELECT 1 FROM subscriptions WHERE workspace_id = NEW.workspace_id)"
        f" BEGIN INSERT OR IGNORE INTO status_events ({_COLUMNS})"
        f" SELECT s.workspace_id, s.id, NEW.id, told.type, told.at, told.reason, {_NOW['sqlite']}, {_NOW['sqlite']}"
        f" FROM ({told}) AS told JOIN subscriptions s ON s.workspace_id = NEW.workspace_id"
        " WHERE s.disabled_at IS NULL AND EXISTS (SELECT 1 FROM json_each(s.events) WHERE value = told.type); END"
    )


def _make_counts() -> None:
    def columns() -> list[sa.Column[object]]:
        return [
            sa.Column("workspace_id", sa.Uuid(), nullable=False),
            sa.Column("campaign_id", sa.Uuid(), nullable=False),
            sa.Column("measure", sa.String(length=40), nullable=False),
        ]

    op.create_table(
        "campaign_counts",
        *columns(),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*_MEASURED.split(", "), name=op.f("pk_campaign_counts")),
    )
    op.create_table(
        "campaign_count_changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        *columns(),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_count_changes")),
    )


def _count_what_is_there() -> None:
    """In two passes, since nobody can write meanwhile: the triggers' lock is held until the migration ends."""
    numbers = ", ".join(
        f"count(CASE WHEN {_known('', columns)} THEN 1 END) AS {measure}" for measure, columns in _MEASURES.items()
    )
    told = " UNION ALL ".join(
        f"SELECT workspace_id, campaign_id, '{measure}', {measure} FROM each_campaign WHERE {measure} > 0"
        for measure in _MEASURES
    )
    op.execute(
        f"INSERT INTO campaign_counts ({_MEASURED}, number) WITH each_campaign AS (SELECT workspace_id, campaign_id,"
        f" {numbers} FROM messages WHERE campaign_id IS NOT NULL GROUP BY workspace_id, campaign_id) {told}"
    )
    op.execute(
        f"INSERT INTO campaign_counts ({_MEASURED}, number)"
        f" SELECT workspace_id, campaign_id, {_REASON.format('')}, count(*) FROM messages"
        " WHERE campaign_id IS NOT NULL AND status = 'FAILED'"
        f" GROUP BY workspace_id, campaign_id, {_REASON.format('')}"
    )


def _known(row: str, columns: tuple[str, ...]) -> str:
    return f"coalesce({', '.join(f'{row}{each}' for each in (*columns, columns[-1]))}) IS NOT NULL"


def _count_by_statement() -> None:
    numbers = ", ".join(
        f"count(*) FILTER (WHERE {_known('', columns)}) AS {measure}" for measure, columns in _MEASURES.items()
    )
    values = ", ".join(f"('{measure}', {measure})" for measure in _MEASURES)

    def counted(table: str, sign: int) -> str:
        # Counted first, side by side: of most rows nothing that is measured has changed.
        return (
            f"SELECT workspace_id, campaign_id, told.measure, {sign} * told.number AS change"
            f" FROM (SELECT workspace_id, campaign_id, {numbers} FROM {table} WHERE campaign_id IS NOT NULL"
            " GROUP BY workspace_id, campaign_id) AS each_campaign"
            f" CROSS JOIN LATERAL (VALUES {values}) AS told (measure, number)"
            f" UNION ALL SELECT workspace_id, campaign_id, {_REASON.format('')}, {sign}"
            f" FROM {table} WHERE campaign_id IS NOT NULL AND status = 'FAILED'"
        )

    for name, (event, tables, parts) in _ROWS.items():
        some = " OR ".join(f"EXISTS (SELECT FROM {table} WHERE campaign_id IS NOT NULL)" for table, _ in parts)
        rows = " UNION ALL ".join(counted(*part) for part in parts)
        op.execute(
            f"CREATE FUNCTION measure_{name}_messages() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN"
            f" IF NOT ({some}) THEN RETURN NULL; END IF;"
            f" INSERT INTO campaign_count_changes ({_MEASURED}, change)"
            f" SELECT {_MEASURED}, sum(change) FROM ({rows}) AS measured GROUP BY {_MEASURED} HAVING sum(change) <> 0;"
            " RETURN NULL; END $body$"
        )
        op.execute(
            f"CREATE TRIGGER measure_{name}_messages AFTER {event} ON messages REFERENCING {tables}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION measure_{name}_messages()"
        )


def _count_by_row() -> None:
    read = sorted({column for columns in _MEASURES.values() for column in columns} | {"campaign_id", "failure_reason"})
    moved = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in [*read, "status"])
    for name, event, rows in (
        ("new", "INSERT ON messages WHEN NEW.campaign_id IS NOT NULL", _of_row("NEW.", 1)),
        (
            "changed",
            f"UPDATE ON messages WHEN coalesce(OLD.campaign_id, NEW.campaign_id) IS NOT NULL AND ({moved})",
            [*_of_row("OLD.", -1), *_of_row("NEW.", 1)],
        ),
        ("removed", "DELETE ON messages WHEN OLD.campaign_id IS NOT NULL", _of_row("OLD.", -1)),
    ):
        op.execute(
            f"CREATE TRIGGER measure_{name}_messages AFTER {event} BEGIN"
            f" INSERT INTO campaign_counts ({_MEASURED}, number)"
            f" SELECT {_MEASURED}, sum(change) FROM ({' UNION ALL '.join(rows)}) WHERE true"
            f" GROUP BY {_MEASURED} HAVING sum(change) <> 0"
            f" ON CONFLICT ({_MEASURED}) DO UPDATE SET number = number + excluded.number; END"
        )


def _of_row(row: str, sign: int) -> list[str]:
    conditions = {f"'{measure}'": _known(row, columns) for measure, columns in _MEASURES.items()}
    conditions[_REASON.format(row)] = f"{row}status = 'FAILED'"
    return [
        f"SELECT {row}workspace_id AS workspace_id, {row}campaign_id AS campaign_id, {measure} AS measure,"
        f" {sign} AS change WHERE {row}campaign_id IS NOT NULL AND {condition}"
        for measure, condition in conditions.items()
    ]
