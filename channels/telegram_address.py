"""Where Telegram is: chats as the Bot API addresses them, by number or a public one by its name, and the bot itself.

Apart from the channel, so that who only checks an address does not load the library.
"""

import re
from typing import Final

from yarl import URL

from models.errors import InvalidSetting

TOKEN_VARIABLE: Final = "WIREROOM_TELEGRAM_BOT_TOKEN"
API_VARIABLE: Final = "WIREROOM_TELEGRAM_API_URL"
PUBLIC_API: Final = "https://api.telegram.org"

_TOKEN: Final = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{3,100}")
_NUMBER: Final = re.compile(r"([+-]?)0*([1-9][0-9]{0,15})")
_NAME: Final = re.compile(r"@[A-Za-z][A-Za-z0-9_]{3,31}")
_MOST: Final = 1 << 52
"""Chat ids have at most 52 significant bits (Bot API, "Chat")."""


def check_chat(text: str) -> str:
    """The chat in its normal form: the digits of its id (below 0 for a group), or ``@name`` in lower case.

    Raises ValueError with a reason that does not repeat the address.
    """
    chat = text.strip()
    if number := _NUMBER.fullmatch(chat):
        sign, digits = number.groups()
        if int(digits) < _MOST:
            return f"-{digits}" if sign == "-" else digits
    elif _NAME.fullmatch(chat):
        return chat.lower()
    raise ValueError("no Telegram chat: a number, or @name of a public channel or group")


def is_group(chat: str) -> bool:
    """Whether more than one person reads there: a group, or a channel."""
    return chat.startswith(("-", "@"))


def check_token(token: str | None) -> str | None:
    """The bot's token; raises InvalidSetting, which does not quote it."""
    if token is not None and not _TOKEN.fullmatch(token):
        raise InvalidSetting(f"{TOKEN_VARIABLE}: not of the form 123456:ABC-DEF, as @BotFather gives it")
    return token


def check_api_url(text: str) -> str:
    """The Bot API's base without a slash at its end; raises InvalidSetting."""
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host or url.query_string or url.fragment or url.user:
        raise InvalidSetting(f"{API_VARIABLE}: must be a URL as in {PUBLIC_API}, without /bot")
    return str(url).rstrip("/")
