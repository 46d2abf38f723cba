"""How many messages there are, by what lists are filtered by: kept by the database, with every row that changes.

Triggers, so that no writer can forget it. PostgreSQL notes each statement's changes as rows of their own, since a
counter that every transaction updates makes them all wait for each other; the keeper folds them into the counts.
SQLite has one writer at a time and counts at once.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"

_GROUP = "workspace_id, campaign_id, channel, status, held"
_NO_CAMPAIGN = {
    "postgresql": "'00000000-0000-0000-0000-000000000000'::uuid",
    "sqlite": "'00000000000000000000000000000000'",
}
_CHANGES = {
    "new": ("INSERT", "NEW TABLE AS new_rows", (("new_rows", 1),)),
    "changed": ("UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows", (("old_rows", -1), ("new_rows", 1))),
    "removed": ("DELETE", "OLD TABLE AS old_rows", (("old_rows", -1),)),
}


def upgrade() -> None:
    op.create_table("message_counts", *_columns(), sa.Column("number", sa.BigInteger(), nullable=False), _key())
    op.create_table(
        "message_count_changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        *_columns(),
        sa.Column("change", sa.BigInteger(), nullable=False),
    )
    dialect = op.get_bind().dialect.name
    op.execute(
        f"INSERT INTO message_counts ({_GROUP}, number) SELECT {_GROUP}, count(*)"
        f" FROM (SELECT {_group('', dialect)} FROM messages) AS counted GROUP BY {_GROUP}"
    )
    if dialect == "postgresql":
        _count_by_statement()
    else:
        _count_by_row()


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
    ]


def _key() -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*_GROUP.split(", "), name=op.f("pk_message_counts"))


def _group(row: str, dialect: str) -> str:
    """The columns of a count, read from a row of ``messages``."""
    return (
        f"{row}workspace_id, coalesce({row}campaign_id, {_NO_CAMPAIGN[dialect]}) AS campaign_id, {row}channel,"
        f" {row}status, {row}state = 'held' AS held"
    )


def _count_by_statement() -> None:
    group = _group("", "postgresql")
    for name, (event, tables, parts) in _CHANGES.items():
        rows = " UNION ALL ".join(f"SELECT {group}, {change} AS change FROM {table}" for table, change in parts)
        op.execute(
            f"CREATE FUNCTION count_{name}_messages() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN"
            f" INSERT INTO message_count_changes ({_GROUP}, change)"
            f" SELECT {_GROUP}, sum(change) FROM ({rows}) AS counted GROUP BY {_GROUP} HAVING sum(change) <> 0;"
            " RETURN NULL; END $body$"
        )
        op.execute(
            f"CREATE TRIGGER count_{name}_messages AFTER {event} ON messages REFERENCING {tables}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION count_{name}_messages()"
        )


def _count_by_row() -> None:
    old, new = _counted("OLD.", -1), _counted("NEW.", 1)
    moved = " OR ".join(
        f"OLD.{name} IS NOT NEW.{name}" for name in ("workspace_id", "campaign_id", "channel", "status")
    )
    changed = f"UPDATE ON messages WHEN {moved} OR (OLD.state = 'held') <> (NEW.state = 'held')"
    for name, event, counted in (
        ("new", "INSERT ON messages", new),
        ("changed", changed, old + new),
        ("removed", "DELETE ON messages", old),
    ):
        op.execute(f"CREATE TRIGGER count_{name}_messages AFTER {event} BEGIN {counted} END")


def _counted(row: str, change: int) -> str:
    return (
        f"INSERT INTO message_counts ({_GROUP}, number) SELECT {_group(row, 'sqlite')}, {change} WHERE true"
        f" ON CONFLICT ({_GROUP}) DO UPDATE SET number = number + ({change});"
    )
