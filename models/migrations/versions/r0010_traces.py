"""A message keeps where it stands in its trace."""

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    op.add_column("message_details", sa.Column("traceparent", sa.String(length=55), nullable=True))
