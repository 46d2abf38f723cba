"""A workspace with contacts, and the way in: what tests of sending begin with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from api_shim.intake import Intake
from channels import registry
from channels.settings import ChannelSettings
from channels.telegram_address import PUBLIC_API
from models.admission import Draft
from models.ids import new_id
from models.secrets import Keyring, load_keyring
from models.session import Database, now_ms
from models.settings import StorageSettings
from models.store import message_views, workspaces
from models.store.message_views import MessageRow
from models.tables import contacts, messages
from models.vocabulary import Channel
from tests.support.bot_api import TOKEN
from worker.wakeups import Wakeups


class Scene:
    """``send`` accepts messages as the API does; ``row`` reads one back."""

    def __init__(self, database: Database, keyring: Keyring, wakeups: Wakeups, settings: ChannelSettings) -> None:
        self.database = database
        self.keyring = keyring
        self.wakeups = wakeups
        self.settings = settings
        self.intake = Intake(database, keyring, wakeups, registry.configured(settings))
        self.workspace_id = new_id()

    async def workspace(self) -> UUID:
        """Another workspace."""
        async with self.database.write() as connection:
            return (await workspaces.create(connection, f"workspace {new_id()}")).id

    async def contact(self, *, workspace_id: UUID | None = None, **columns: Any) -> UUID:
        """A contact; ``ann@example.org`` unless told otherwise."""
        contact_id = new_id()
        values = {"email": "ann@example.org", "first_name": "Ann", "attributes": {}, "tags": []} | columns
        if "webhook_secret" in values:
            values["webhook_secret"] = self.keyring.seal(values["webhook_secret"].encode(), "webhook-secret")
        async with self.database.write() as connection:
            await connection.execute(
                contacts.insert().values(
                    id=contact_id,
                    workspace_id=workspace_id or self.workspace_id,
                    created_at=now_ms(),
                    updated_at=now_ms(),
                    **values,
                )
            )
        return contact_id

    def draft(self, contact_id: UUID, **fields: Any) -> Draft:
        """A short mail to a contact."""
        given: dict[str, Any] = {
            "id": new_id(),
            "workspace_id": self.workspace_id,
            "contact_id": contact_id,
            "channel": Channel.EMAIL,
            "subject": "Hello {{firstName}}",
            "body": "Good morning, {{firstName}}",
        }
        return Draft(**(given | fields))

    async def send(self, contact_id: UUID, **fields: Any) -> MessageRow:
        """Accept one message."""
        return (await self.intake.submit(self.draft(contact_id, **fields))).message

    async def row(self, message_id: UUID) -> MessageRow:
        """The message as it stands."""
        async with self.database.read() as connection:
            found = await message_views.get(connection, self.workspace_id, message_id)
        assert found is not None
        return found

    async def rows(self) -> list[MessageRow]:
        """Every message of the workspace, the oldest first."""
        async with self.database.read() as connection:
            ids = (await connection.scalars(select(messages.c.id).order_by(messages.c.id))).all()
            found = await message_views.get_many(connection, self.workspace_id, ids)
        return [found[each] for each in ids if each in found]

    async def column(self, message_id: UUID, name: str) -> Any:
        """One column of a message."""
        async with self.database.read() as connection:
            return await connection.scalar(select(messages.c[name]).where(messages.c.id == message_id))

    async def set(self, message_id: UUID, **columns: Any) -> None:
        """Change a message behind everybody's back."""
        async with self.database.write() as connection:
            await connection.execute(update(messages).where(messages.c.id == message_id).values(**columns))


def channel_settings(smtp_port: int = 25, telegram_url: str | None = None) -> ChannelSettings:
    """Mail by a server on this machine, webhooks to this machine; Telegram where there is a Bot API."""
    return ChannelSettings(
        smtp_url=f"smtp+plain://127.0.0.1:{smtp_port}",
        email_from="Wireroom <noreply@example.org>",
        webhook_allow_nets=(ip_network("127.0.0.0/8"),),
        vapid_private_key_file=None,
        vapid_subject="mailto:push@example.org",
        telegram_bot_token=TOKEN if telegram_url else None,
        telegram_api_url=telegram_url or PUBLIC_API,
    )


def storage_settings(folder: Path, database_url: str, redis_url: str) -> StorageSettings:
    """A house on these servers."""
    return StorageSettings.read(
        {
            "WIREROOM_DATA_DIR": str(folder),
            "WIREROOM_DATABASE_URL": database_url,
            "WIREROOM_REDIS_URL": redis_url,
            "WIREROOM_SECRET_KEY": "Vn5sCq0mY3fXo7Jt1LbR9wKzEuDh2GpA4iTyS6xNkQc=",
        }
    )


@asynccontextmanager
async def opened(
    folder: Path, database: Database, redis_url: str, settings: ChannelSettings | None = None
) -> AsyncIterator[Scene]:
    """A scene with one workspace."""
    storage = storage_settings(folder, str(database.engine.url), redis_url)
    keyring = await load_keyring(database, storage)
    wakeups = Wakeups(redis_url)
    scene = Scene(database, keyring, wakeups, settings or channel_settings())
    scene.workspace_id = await scene.workspace()
    try:
        yield scene
    finally:
        await scene.intake.drain()
        wakeups.close()
