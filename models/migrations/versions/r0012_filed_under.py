"""Reports of an arrival write no index of messages: lists go by what a message is filed under, not by its status."""

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"

_FILED = (
    "(CASE WHEN complained_at IS NOT NULL THEN 'UNSUBSCRIBED' WHEN unsubscribed_at IS NOT NULL THEN 'UNSUBSCRIBED'"
    " WHEN hard_bounced_at IS NOT NULL THEN 'BOUNCED' WHEN soft_bounced_at IS NOT NULL THEN 'BOUNCED'"
    " WHEN failed_at IS NOT NULL THEN 'REPORTED' WHEN sent_at IS NOT NULL THEN 'SENT'"
    " WHEN state = 'queued' THEN 'QUEUED' WHEN state = 'sending' THEN 'SENDING' WHEN state = 'held' THEN 'SENDING'"
    " WHEN state = 'done' THEN 'SENT' WHEN state = 'failed' THEN 'GIVEN_UP' WHEN state = 'cancelled' THEN 'GIVEN_UP'"
    " ELSE NULL END)"
)


def upgrade() -> None:
    # First what locks the table most: asked for later, that would wait for those who wait for us.
    op.drop_index("ix_messages_workspace_id_channel_status_id", "messages")
    op.drop_index("ix_messages_workspace_id_campaign_id_status_id", "messages")
    op.drop_index("ix_messages_undelivered", "messages")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE messages SET (fillfactor = 65)")
    op.create_index(
        "ix_messages_workspace_id_channel_filed_id", "messages", ["workspace_id", "channel", sa.text(_FILED), "id"]
    )
    of_a_campaign = sa.text("campaign_id IS NOT NULL")
    op.create_index(
        "ix_messages_workspace_id_campaign_id_filed_id",
        "messages",
        ["workspace_id", "campaign_id", sa.text(_FILED), "id"],
        postgresql_where=of_a_campaign,
        sqlite_where=of_a_campaign,
    )
    not_arrived = sa.text(f"{_FILED} IN ('BOUNCED', 'REPORTED', 'GIVEN_UP')")
    op.create_index(
        "ix_messages_not_arrived",
        "messages",
        ["workspace_id", "id", sa.text(_FILED), "failure_reason"],
        postgresql_where=not_arrived,
        sqlite_where=not_arrived,
    )
