"""What did not arrive is found by whose fault it was, and is sent again."""

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    undelivered = sa.text("status IN ('FAILED', 'BOUNCED')")
    op.create_index(
        "ix_messages_undelivered",
        "messages",
        ["workspace_id", "id", "status", "failure_reason"],
        postgresql_where=undelivered,
        sqlite_where=undelivered,
    )
