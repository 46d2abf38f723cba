"""Suppressions say when they were last called for, and providers' reports of new subscriptions are kept."""

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"


def upgrade() -> None:
    op.add_column("suppressions", sa.Column("said_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "resubscriptions",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("address_digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("said_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_resubscriptions_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "channel", "address_digest", "topic", name=op.f("pk_resubscriptions")),
    )
