"""What people, keys and the command line did is written down, and nobody can change what is written."""

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"

_SAID = "audit entries are never changed"


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor_kind", sa.String(length=32), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("ending", sa.String(length=32), nullable=False),
        sa.Column("object_kind", sa.String(length=32), nullable=True),
        sa.Column("object_id", sa.Uuid(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index(op.f("ix_audit_entries_workspace_id_id"), "audit_entries", ["workspace_id", "id"], unique=False)
    op.create_index(
        op.f("ix_audit_entries_object_id_id"),
        "audit_entries",
        ["object_id", "id"],
        unique=False,
        postgresql_where=sa.text("object_id IS NOT NULL"),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER keep_audit_entries BEFORE UPDATE ON audit_entries"
            f" BEGIN SELECT RAISE(ABORT, '{_SAID}'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION keep_audit_entries() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN"
        f" RAISE EXCEPTION '{_SAID}'; END $body$"
    )
    op.execute(
        "CREATE TRIGGER keep_audit_entries BEFORE UPDATE ON audit_entries"
        " FOR EACH ROW EXECUTE FUNCTION keep_audit_entries()"
    )
