"""Bounce mail: what a raw mail says, and what it changes where a token of ours proves which message it is about.

Anybody can write a mail that looks like a report. The local part of a message's return path is known to those alone who
had that message: nothing else is believed, and what has none is kept as an event that changes nothing.
"""

import asyncio
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import msgspec

from api_shim import incoming
from api_shim.operations import Call, Reply
from api_shim.services import Services
from channels.bounces.events import event_of
from channels.bounces.reading import parse
from models.evidence import BounceReason, MailKind, Provider
from models.store import events, workspaces
from models.store.hooks import HookRow
from models.tokens import Ref
from models.vocabulary import BounceType, EventType

MAIL_BYTES: Final = 5 << 20
_MOST_KEPT: Final = 200
MEDIA: Final = ("message/rfc822", "text/plain", "application/octet-stream")


class BouncedRecipient(msgspec.Struct, rename="camel"):
    """A recipient of a report.

    ``address`` is empty where the report names none. ``status`` is the enhanced status code (RFC 3463), ``replyCode``
    that of SMTP. ``bounceType`` is null for whatever is no bounce: a delay, a delivery, a complaint.
    """

    address: str
    status: str | None
    reply_code: int | None
    reason: BounceReason | None
    bounce_type: BounceType | None


class BounceReading(msgspec.Struct):
    """What is read from a mail. An answer of a program (``autoreply``) and any ``other`` mail has no recipients."""

    kind: MailKind
    recipients: list[BouncedRecipient]


async def read(call: Call) -> Reply:
    """Answer what a raw mail says; nothing is changed."""
    report = await asyncio.to_thread(parse, await call.body(MAIL_BYTES))
    people = [
        BouncedRecipient(each.address, each.status, each.reply_code, each.reason, each.bounce_type)
        for each in report.recipients
    ]
    return Reply(BounceReading(report.kind, people))


async def receive(call: Call, hook: HookRow) -> tuple[bool, bool]:
    """Take in a raw mail that came by a hook: whether it is new, and whether it changes anything.

    It moves only messages of the hook's own workspace.
    """
    services = call.services
    raw = await call.body(MAIL_BYTES)
    report = await asyncio.to_thread(parse, raw)
    ref = await _proved(services, report.tokens, hook.workspace_id)
    event = event_of(report, raw, ref)
    new = await incoming.store(
        services, [event], workspace_id=hook.workspace_id, source_id=hook.id, provider=Provider.BOUNCE_MAIL
    )
    return bool(new), event.type is not EventType.IGNORED


async def owner_of(services: Services, local_part: str) -> tuple[Ref, UUID] | None:
    """What a return path stands for, and whose message that is; None where it is none of ours, or gone.

    Raises StorageUnavailable while the database is away.
    """
    ref = (await services.keyring()).tokens.read_return_path(local_part)
    if ref is None:
        return None
    async with services.database.read() as connection:
        workspace_id = await workspaces.of_message(connection, ref.message_id)
    return None if workspace_id is None else (ref, workspace_id)


async def has_room(services: Services, ref: Ref, workspace_id: UUID) -> bool:
    """Whether more mails about a message are kept: who has its return path may write to it without end.

    Raises StorageUnavailable while the database is away.
    """
    async with services.database.read() as connection:
        return await events.has_room(
            connection,
            workspace_id=workspace_id,
            message_id=ref.message_id,
            provider=Provider.BOUNCE_MAIL,
            most=_MOST_KEPT,
        )


async def take(services: Services, raw: bytes, local_part: str) -> bool:
    """Take in a raw mail that came to a return path; whether that is one of ours. It is durable once this returns.

    Raises StorageUnavailable while the database is away.
    """
    owned = await owner_of(services, local_part)
    if owned is None:
        return False
    ref, workspace_id = owned
    event = event_of(await asyncio.to_thread(parse, raw), raw, ref)
    await incoming.store(
        services, [event], workspace_id=workspace_id, source_id=workspace_id, provider=Provider.BOUNCE_MAIL
    )
    return True


async def _proved(services: Services, tokens: Iterable[str], workspace_id: UUID) -> Ref | None:
    """The first of the tokens that is one of this workspace's."""
    for token in tokens:
        owned = await owner_of(services, token)
        if owned is not None and owned[1] == workspace_id:
            return owned[0]
    return None
