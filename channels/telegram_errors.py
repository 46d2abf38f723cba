"""What the Bot API's refusals mean. Telegram documents the codes; the words are those its server says.

{"ok": false, "error_code": 403, "description": "Forbidden: bot was blocked by the user", "parameters": {…}}
"""

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from channels.errors import Blame, Limited, Misconfigured, Permanent, SendError, Transient, Unknown
from models.vocabulary import FailureReason

MOST_REST_S: Final = 86_400.0
"""No peer holds us back for longer than a day."""

_STATUSES: Final = frozenset(HTTPStatus)
_REST_UNSAID_S: Final = 5.0
_PARSING: Final = "can't parse entities"
_OFFSET: Final = re.compile(r"(?<=byte offset )[0-9]+")
_QUOTED: Final = re.compile(r"\"[^\"]*\"|(?<!\w)'[^']+'|https?://\S+|[0-9]{5,}")
_WORD_LENGTH: Final = 200

_LOGGED_OUT: Final = "logged out"
"""Said with a 400 (Bot API, "logOut")."""

# What follows is the whole description: a parameter's name may stand before the same words.
# Nobody is there any more, for any bot.
_DEAD: Final = re.compile(
    r"user is deactivated|(?:input_)?user_deactivated"
    r"|(?:the )?(?:group |supergroup |channel )?chat was (?:deleted|deactivated)|group is deactivated"
    r"|bot can't send messages to bots"
)
# This bot can write there no more, or cannot yet; another one may.
_BLOCKED: Final = re.compile(
    r"bot was blocked by the user|user_is_blocked"
    r"|bot was kicked(?: from the (?:group|supergroup|channel) chat)?"
    r"|bot is not a member of the (?:group|supergroup|channel) chat"
    r"|bot can't initiate conversation with a user"
    r"|chat not found|user not found|peer_id_invalid"
)
_FORBIDDEN: Final = (
    "not enough rights",
    "need administrator rights",
    "have no rights to send",
    "have no write access",
    "chat_write_forbidden",
    "chat_restricted",
    "chat_send_plain_forbidden",
    "chat_send_media_forbidden",
    "chat_admin_required",
)
_TOO_LARGE: Final = (
    "message is too long",
    "message caption is too long",
    "media_caption_too_long",
    "message_too_long",
    "entities_too_long",
    "reply_markup_too_long",
    "request entity too large",
    "file is too big",
)
_EMPTY: Final = ("message text is empty", "text must be non-empty", "message must be non-empty")
# Passing: Telegram could not fetch the file, or says for minutes what is not so.
_PASSING: Final = ("failed to get http url content", "webpage_curl_failed", "bot can't send messages to the user")


class _Parameters(msgspec.Struct):
    retry_after: float | None = None
    migrate_to_chat_id: int | None = None


class _Refusal(msgspec.Struct):
    description: str = ""
    parameters: _Parameters | None = None


class Migrated(Exception):
    """The group is a supergroup now; ``chat`` is its id (Bot API, "ResponseParameters")."""

    def __init__(self, chat: str) -> None:
        super().__init__("the group is a supergroup now")
        self.chat = chat


class Reading(msgspec.Struct, frozen=True):
    """What it takes to read a refusal. ``head_bytes``: what we put before the body; ``tags``: the template's own."""

    head_bytes: int = 0
    tags: frozenset[str] = frozenset()


def verdict(status: int, payload: bytes, reading: Reading) -> SendError:
    """What an answer other than 2xx means. Raises Migrated where the chat has another id."""
    try:
        refusal = msgspec.json.decode(payload, type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        refusal = _Refusal()
    parameters = refusal.parameters or _Parameters()
    if parameters.migrate_to_chat_id:
        raise Migrated(str(parameters.migrate_to_chat_id))
    if status == 429 or parameters.retry_after is not None:
        rest_s = _REST_UNSAID_S if parameters.retry_after is None else parameters.retry_after
        rest_s = min(max(rest_s, 1.0), MOST_REST_S)
        return Limited("too many requests for this bot", retry_after_s=rest_s, whole=True, code="429")
    return _by_status(status, refusal.description, reading)


def _by_status(status: int, description: str, reading: Reading) -> SendError:
    code = str(status)
    if status in (401, 404):
        return Misconfigured("Telegram does not know the bot's token", code=code)
    if status == 400 and description.lower() == _LOGGED_OUT:
        return Misconfigured("the bot has logged out of this Bot API server", code=code)
    if status in (400, 403, 413):
        return _refused(code, description, reading)
    phrase = HTTPStatus(status).phrase if status in _STATUSES else ""
    said = f"{code} {phrase}".strip()
    if status >= 500 and status != HTTPStatus.SERVICE_UNAVAILABLE:
        # A gateway that gave up waiting, or a server that broke, may have posted the message before.
        return Unknown(said, code=code, blame=Blame.SENDER)
    return Transient(said, code=code, blame=Blame.SENDER if status >= 500 else Blame.RECIPIENT)


def _refused(code: str, description: str, reading: Reading) -> SendError:
    said = description.lower()
    if _PARSING in said or "unsupported start tag" in said:
        return unparsable(description, reading, code=code)
    whole = said.removeprefix("bad request: ").removeprefix("forbidden: ")
    if _DEAD.fullmatch(whole):
        return Permanent(whole, reason=FailureReason.ADDRESS_DEAD, code=code, hard=True)
    if _BLOCKED.fullmatch(whole):
        return Permanent(whole, reason=FailureReason.BLOCKED, code=code, hard=True)
    for phrases, meaning in _MEANINGS:
        for phrase in phrases:
            if phrase in said:
                return meaning(phrase, code)
    if code == "413":
        return _too_large("request entity too large", code)
    return Permanent(_words(description) or "refused", reason=FailureReason.REJECTED, code=code)


def _passing(words: str, code: str) -> SendError:
    return Transient(words, code=code)


def _forbidden(words: str, code: str) -> SendError:
    return Permanent(words, reason=FailureReason.POLICY, code=code)


def _too_large(words: str, code: str) -> SendError:
    return Permanent(words, reason=FailureReason.TOO_LARGE, code=code)


def _empty(words: str, code: str) -> SendError:
    return Permanent(words, reason=FailureReason.RENDER_ERROR, code=code)


_MEANINGS: Final[Sequence[tuple[Sequence[str], Callable[[str, str], SendError]]]] = (
    (_PASSING, _passing),
    (_FORBIDDEN, _forbidden),
    (_TOO_LARGE, _too_large),
    (_EMPTY, _empty),
)


def unparsable(words: str, reading: Reading, *, code: str | None = None) -> Permanent:
    """The markup cannot be read, with the parser's words: what they quote is told where the template has it.

    The offset counts from the body's beginning, as its author does.
    """
    shown = words.removeprefix("Bad Request: ")
    if _PARSING not in shown.lower():
        shown = f"{_PARSING}: {shown}"
    # Numbers are offsets here.
    shown = _QUOTED.sub(lambda found: found[0] if _name(found[0]) in reading.tags else _hidden(found[0]), shown)
    shown = _OFFSET.sub(lambda found: str(max(int(found[0]) - reading.head_bytes, 0)), shown)
    return Permanent(shown[:_WORD_LENGTH], reason=FailureReason.RENDER_ERROR, code=code)


def _name(quoted: str) -> str:
    return quoted.strip("\"'<>/").lower()


def _hidden(found: str) -> str:
    is_sign = len(found) == len("'.'")
    return found if found.isdigit() or is_sign else "…"


def _words(description: str) -> str:
    """The words without what they quote, which may be an address or a piece of the text."""
    printable = "".join(character for character in description if character.isprintable())
    return _QUOTED.sub("…", printable)[:_WORD_LENGTH]
