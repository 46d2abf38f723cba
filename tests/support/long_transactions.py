"""A transaction that stands still for longer than any of ours does, as a report or a backup of somebody else's may."""

from typing import Final

from sqlalchemy import text

STANDS_STILL: Final = text("SET LOCAL idle_in_transaction_session_timeout = 0")
"""Said within one on PostgreSQL, which would end it after ten seconds without a word (``models.session``)."""
