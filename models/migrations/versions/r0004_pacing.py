"""Pacing: ready rows by workspace, which a claim reads that passes some workspaces over, and a rate of senders."""

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    op.create_index(
        "ix_messages_ready_of_workspace",
        "messages",
        ["channel", "lane", "workspace_id", "turn"],
        unique=False,
        postgresql_where=sa.text("turn IS NOT NULL"),
        sqlite_where=sa.text("turn IS NOT NULL"),
    )
    op.add_column("senders", sa.Column("per_second", sa.Float(), nullable=True))
