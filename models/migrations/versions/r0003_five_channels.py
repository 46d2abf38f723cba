"""What the five channels keep: parts that got through, inboxes, failing endpoints, workspaces' own senders."""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("parts", sa.JSON()))
    op.create_table(
        "inboxes",
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("last_change", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contacts.id"], name=op.f("fk_inboxes_contact_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("contact_id", name=op.f("pk_inboxes")),
    )
    op.create_table(
        "inbox_items",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("is_html", sa.Boolean(), nullable=False),
        sa.Column("url", sa.Text()),
        sa.Column("icon", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("read_at", sa.BigInteger()),
        sa.Column("clicked_at", sa.BigInteger()),
        sa.Column("archived_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["inboxes.contact_id"], name=op.f("fk_inbox_items_contact_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_inbox_items")),
        sa.UniqueConstraint("contact_id", "number", name=op.f("uq_inbox_items_contact_id_number")),
        sa.UniqueConstraint("contact_id", "change", name=op.f("uq_inbox_items_contact_id_change")),
    )
    op.create_index(
        "ix_inbox_items_unread",
        "inbox_items",
        ["contact_id"],
        postgresql_where=sa.text("read_at IS NULL AND archived_at IS NULL"),
        sqlite_where=sa.text("read_at IS NULL AND archived_at IS NULL"),
    )
    op.create_table(
        "failing_endpoints",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("address_digest", sa.LargeBinary(16), nullable=False),
        sa.Column("first_failed_at", sa.BigInteger(), nullable=False),
        sa.Column("last_failed_at", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "address_digest", name=op.f("pk_failing_endpoints")),
    )
    op.create_table(
        "senders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.JSON(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("failures", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("resting_until", sa.BigInteger()),
        sa.Column("last_error", sa.Text()),
        sa.Column("version", sa.Integer(), nullable=False, server_default=sa.text("1")),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_senders_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_senders")),
    )
    op.create_index(
        "ix_senders_workspace_id_channel_position_id", "senders", ["workspace_id", "channel", "position", "id"]
    )
