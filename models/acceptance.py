"""The moment at which a message is ours: its rows are committed, whatever dies next."""

from collections.abc import Sequence

from models.session import Database
from models.store import intake, storing_one
from models.store.intake import Stored
from models.store.new_messages import NewMessage


async def commit(database: Database, new: Sequence[NewMessage]) -> Sequence[Stored]:
    """As ``intake.store``, in a transaction of its own; raises StorageUnavailable where nobody knows if it was kept.

    Whoever writes to one person waits for one round trip, not for six.
    """
    if len(new) == 1 and new[0].draft.idempotency is None and not database.is_sqlite:
        async with database.write_at_once() as connection:
            return [await storing_one.store(connection, new[0])]
    async with database.write() as connection:
        return await intake.store(connection, new)
