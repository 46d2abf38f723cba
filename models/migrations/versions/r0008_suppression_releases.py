"""Suppressions have a note beside their reason, and who released one is kept."""

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"

_REASONS = (
    "bounced",
    "complained",
    "unsubscribed",
    "address_dead",
    "blocked",
    "endpoint_gone",
    "endpoint_failing",
    "manual",
)


def upgrade() -> None:
    op.add_column("suppressions", sa.Column("note", sa.Text(), nullable=True))
    stored = sa.table("suppressions", sa.column("reason", sa.Text()), sa.column("note", sa.Text()))
    op.execute(stored.update().where(stored.c.reason.not_in(_REASONS)).values(note=stored.c.reason, reason="manual"))
    op.create_table(
        "suppression_releases",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("address_digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("suppressed_at", sa.BigInteger(), nullable=False),
        sa.Column("released_at", sa.BigInteger(), nullable=False),
        sa.Column("released_by", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_suppression_releases_workspace_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppression_releases")),
    )
    op.create_index(
        op.f("ix_suppression_releases_workspace_id_released_at_id"),
        "suppression_releases",
        ["workspace_id", "released_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_suppression_releases_workspace_id_address_digest"),
        "suppression_releases",
        ["workspace_id", "address_digest"],
        unique=False,
    )
