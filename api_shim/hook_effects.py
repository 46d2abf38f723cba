"""What a provider's request does beside its events, in the transaction that stores them."""

import hashlib
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim import problems
from api_shim.incoming import Effect
from api_shim.problems import Problem
from channels.providers.telegram import MEMBERSHIP
from models.events import ParsedEvent
from models.secrets import Keyring
from models.store import hook_tokens, suppressions
from models.store.hooks import HookRow
from models.store.suppressions import NewSuppression
from models.vocabulary import Channel, EventType, FailureReason, SuppressionKind


def keeping_token(hook: HookRow, token: str, body: bytes) -> Effect:
    """The token is good for this body from now on; one that came with another body raises Problem (406)."""

    async def keep(connection: AsyncConnection, _new: int) -> None:
        if not await hook_tokens.keep(
            connection,
            hook.workspace_id,
            hook.id,
            token_digest=hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest(),
            body_digest=hashlib.sha256(body).digest(),
        ):
            raise Problem(problems.NOT_ACCEPTABLE, "Its token came with another body before.")

    return keep


def following_chats(hook: HookRow, keyring: Keyring, parsed: Sequence[ParsedEvent]) -> Effect:
    """A chat that blocks the bot is suppressed as one is that refuses a message, until it lets the bot in again.

    Telegram tells what happens in one chat in order, and repeats what it was not told that we have.
    """

    async def follow(connection: AsyncConnection, new: int) -> None:
        for event in parsed if new else ():
            if event.provider_event != MEMBERSHIP or event.recipient is None:
                continue
            digest = keyring.address_digest(Channel.TELEGRAM, event.recipient)
            if event.type is EventType.RESUBSCRIBED:
                await suppressions.forget_blocked(connection, hook.workspace_id, digest)
            elif event.type is EventType.BOUNCED:
                blocked = NewSuppression(
                    channel=Channel.TELEGRAM,
                    address_digest=digest,
                    kind=SuppressionKind.DEAD,
                    topic="",
                    address=event.recipient,
                    reason=FailureReason.BLOCKED.value,
                    expires_at=None,
                )
                await suppressions.create(connection, hook.workspace_id, blocked)

    return follow
