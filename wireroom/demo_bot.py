"""The demo's Bot API: the one method of Telegram's that it needs, with its documented answers and errors."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

from wireroom.demo_arrivals import Chat
from wireroom.demo_http import Answer, Request

TOKEN: Final = "1000001:the-bot-of-the-demo"

_METHOD: Final = f"/bot{TOKEN}/sendMessage"
_BOT: Final = {"id": 1_000_001, "is_bot": True, "first_name": "Wireroom Library"}
_MOST_UNITS: Final = 4096


class BotApi:
    """Keeps every message; answers as https://core.telegram.org/bots/api#sendmessage says."""

    def __init__(self, arrivals: list[Chat]) -> None:
        self._arrivals = arrivals

    def answer(self, request: Request) -> Answer:
        """The message that was made, or what is wrong with the request."""
        if request.path != _METHOD:
            return _refused(HTTPStatus.NOT_FOUND, "Not Found")
        fields = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
        chat_id, text = fields.get("chat_id", ""), fields.get("text", "")
        if not chat_id.isdigit():
            return _refused(HTTPStatus.BAD_REQUEST, "Bad Request: chat not found")
        if not text.strip():
            return _refused(HTTPStatus.BAD_REQUEST, "Bad Request: message text is empty")
        if units(text) > _MOST_UNITS:
            return _refused(HTTPStatus.BAD_REQUEST, "Bad Request: message is too long")
        keyboard = json.loads(fields.get("reply_markup", "{}")).get("inline_keyboard")
        entities = json.loads(fields.get("entities", "null"))
        self._arrivals.append(Chat(chat_id, text, fields.get("parse_mode"), entities, keyboard))
        chat = {"id": int(chat_id), "type": "private"}
        made = {"message_id": len(self._arrivals), "from": _BOT, "date": int(request.received_at), "chat": chat}
        return _json(HTTPStatus.OK, {"ok": True, "result": made})


def units(text: str) -> int:
    """How long Telegram takes a text to be: in UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def _refused(status: HTTPStatus, description: str) -> Answer:
    return _json(status, {"ok": False, "error_code": status.value, "description": description})


def _json(status: HTTPStatus, said: Mapping[str, Any]) -> Answer:
    return Answer(status, json.dumps(said).encode(), {"Content-Type": "application/json"})
