"""A token that proves a provider's request without its body is good for one body alone."""

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    op.create_table(
        "hook_tokens",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("hook_id", sa.Uuid(), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("body_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "hook_id", "token_digest", name=op.f("pk_hook_tokens")),
    )
    op.create_index(op.f("ix_hook_tokens_seen_at"), "hook_tokens", ["seen_at"], unique=False)
