"""What attempts learn of their recipients: browsers that exist no more, chats that have moved."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.progress import Progress
from models.session import now_ms
from models.tables import contacts, message_details, messages, push_subscriptions


async def learn(connection: AsyncConnection, learnt: Sequence[tuple[UUID, Progress]]) -> None:
    """Write down what attempts learnt, by the ids of their messages."""
    gone = [browser for _, progress in learnt for browser in progress.gone]
    if gone:
        await connection.execute(delete(push_subscriptions).where(push_subscriptions.c.id.in_(gone)))
    for message_id, progress in learnt:
        if progress.moved_to is not None:
            await _readdress(connection, message_id, progress.moved_to)


async def _readdress(connection: AsyncConnection, message_id: UUID, moved_to: str) -> None:
    """A Telegram chat has another id from now on: the contact's, where it is still the one the message had."""
    old = select(message_details.c.address).where(message_details.c.message_id == message_id).scalar_subquery()
    owner = select(messages.c.contact_id).where(messages.c.id == message_id).scalar_subquery()
    await connection.execute(
        update(contacts)
        .where(contacts.c.id == owner, contacts.c.telegram_chat_id == old)
        .values(telegram_chat_id=moved_to, updated_at=now_ms())
    )
