"""What arrived at the demo's sinks, as it came."""

from dataclasses import dataclass, field
from typing import Any

from wireroom.demo_http import Request


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail: its envelope and its bytes."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes


@dataclass(frozen=True, slots=True)
class Push:
    """A push message. ``path``: its browser's endpoint; ``payload``: what that browser's keys opened."""

    path: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chat:
    """A message to a Telegram chat. ``keyboard``: its rows of buttons (Bot API, "InlineKeyboardMarkup")."""

    chat_id: str
    text: str
    parse_mode: str | None = None
    entities: list[dict[str, Any]] | None = None
    keyboard: list[list[dict[str, Any]]] | None = None


@dataclass(slots=True)
class Arrivals:
    """Everything that arrived, in order. ``items``: those of inboxes, as ``GET /inbox`` shows them."""

    mails: list[Mail] = field(default_factory=list)
    hooks: list[Request] = field(default_factory=list)
    pushes: list[Push] = field(default_factory=list)
    chats: list[Chat] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
