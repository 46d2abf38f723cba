"""A Telegram bot's updates: pressed buttons, and chats that block the bot or let it in again.

The secret is the ``secret_token`` of setWebhook, which every update repeats. Source: core.telegram.org/bots/api,
"setWebhook", "Update", "CallbackQuery" and "ChatMemberUpdated".
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from channels.providers import reading
from channels.providers.contract import BadSignature, HookRequest, HookSecrets
from channels.providers.proofs import same
from channels.providers.reading import Meaning
from models.events import ParsedEvent
from models.evidence import Provider
from models.vocabulary import BounceType, EventType, FailureReason

SECRET_HEADER: Final = "x-telegram-bot-api-secret-token"
BUTTON: Final = "callback_query"
MEMBERSHIP: Final = "my_chat_member"

_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
_BLOCKED: Final = Meaning(EventType.BOUNCED, BounceType.HARD, reason=FailureReason.BLOCKED.value)
_STATUSES: Final[Mapping[str, Meaning]] = {
    "kicked": _BLOCKED,
    "left": _BLOCKED,
    "member": reading.RESUBSCRIBED,
    "administrator": reading.RESUBSCRIBED,
    "creator": reading.RESUBSCRIBED,
}


def check_secret(text: str) -> None:
    """Raises ValueError where Telegram would not take it for a secret token."""
    if not _SECRET.fullmatch(text):
        raise ValueError("must be 1 to 256 characters of A-Z a-z 0-9 _ -, as Telegram's secret_token")


class TelegramProvider:
    """Told apart by ``update_id``."""

    def verify(self, request: HookRequest, secrets: HookSecrets, now_s: float) -> None:
        """Return where the update brings one of the secrets; raises BadSignature."""
        if not same(request.headers.get(SECRET_HEADER, ""), secrets.signing_keys):
            raise BadSignature("not the hook's secret")

    def parse(self, request: HookRequest) -> Sequence[ParsedEvent]:
        """The event. A blocked bot is a hard bounce of the ``recipient``, a chat, and of no message."""
        return reading.one(Provider.TELEGRAM, request.body, _read)


def callback_id(event: ParsedEvent) -> str | None:
    """What a pressed button waits to be answered by; None for any other event."""
    is_button = event.provider_event == BUTTON
    return reading.reference(msgspec.json.decode(event.raw), BUTTON, "id") if is_button else None


def _read(update: Any, raw: bytes) -> list[ParsedEvent]:
    name = next((key for key in update if key != "update_id"), "")
    body = reading.at(update, name)
    update_id = reading.text(update, "update_id")
    if update_id is None:
        return [reading.unreadable(Provider.TELEGRAM, raw, ValueError("no update_id"))]
    chat = reading.reference(body, "chat", "id") or reading.reference(body, "message", "chat", "id")
    message = reading.reference(body, "message", "message_id")
    is_button = name == BUTTON
    return [
        _meaning(name, body).event(
            provider_event=reading.clean(name, reading.LONGEST_WORD),
            dedupe=reading.digest(Provider.TELEGRAM, update_id),
            raw=raw,
            # A button's update has no time of its own: its message's is that of the sending.
            at=None if is_button else reading.seconds(body, "date"),
            provider_ref=f"{chat}:{message}" if is_button and chat and message else None,
            recipient=chat,
        )
    ]


def _meaning(name: str, body: Any) -> Meaning:
    if name == BUTTON:
        return reading.CLICKED
    if name != MEMBERSHIP:
        return reading.IGNORED
    status = reading.word(body, "new_chat_member", "status")
    if status == "restricted":
        return reading.RESUBSCRIBED if reading.at(body, "new_chat_member", "is_member") is True else _BLOCKED
    return _STATUSES.get(status, reading.UNKNOWN)
