"""What ``options`` say on TELEGRAM: ``buttons photo document silent``. Apart from the channel: intake asks too."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from yarl import URL

from channels.guard import parse_url
from models.tokens import Links

_WEB: Final = ("http://", "https://")
_URL: Final = re.compile(r"(?:https?|tg|ton)://[^\s\x00-\x20\x7f]+", re.IGNORECASE)
_FILE_URL: Final = re.compile(r"https?://[^\s\x00-\x20\x7f]+", re.IGNORECASE)
_FILE_ID: Final = re.compile(r"[A-Za-z0-9_-]{10,200}")
_MOST_CALLBACK_BYTES: Final = 64
_MOST_IN_A_ROW: Final = 8
_MOST_BUTTONS: Final = 100


class Button(msgspec.Struct, frozen=True, rename="camel"):
    """A button under a message: it opens ``url``, or reports ``callback_data`` to the bot."""

    text: Annotated[str, Meta(min_length=1)]
    url: str | None = None
    callback_data: str | None = None


class Options(msgspec.Struct, frozen=True):
    """``buttons`` in rows; one that is not in a row is a row of its own."""

    buttons: Sequence[Button | tuple[Button, ...]] = ()
    photo: str | None = None
    document: str | None = None
    silent: bool | None = None

    @property
    def rows(self) -> list[tuple[Button, ...]]:
        """The buttons, all in rows."""
        return [(row,) if isinstance(row, Button) else row for row in self.buttons or () if row]


def read_options(given: Mapping[str, Any]) -> Options:
    """Read and check; raises ValueError with words fit to be shown."""
    try:
        options = msgspec.convert({name: each for name, each in given.items() if each is not None}, Options)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if options.photo is not None and options.document is not None:
        raise ValueError("either photo or document")
    for source in (options.photo, options.document):
        if source is not None and not (_FILE_URL.fullmatch(source) or _FILE_ID.fullmatch(source)):
            raise ValueError("photo and document: an http or https URL, or a file id")
    rows = options.rows
    if sum(map(len, rows)) > _MOST_BUTTONS or any(len(row) > _MOST_IN_A_ROW for row in rows):
        raise ValueError(f"buttons: at most {_MOST_IN_A_ROW} in a row and {_MOST_BUTTONS} in all")
    for row in rows:
        for button in row:
            _check(button)
    return options


def _check(button: Button) -> None:
    if (button.url is None) == (button.callback_data is None):
        raise ValueError("a button has either url or callbackData")
    if button.url is not None and not _URL.fullmatch(button.url):
        raise ValueError("a button's url: http, https or tg")
    if button.url is not None and _is_web(button.url):
        parse_url(button.url)
    if button.callback_data is not None and not 1 <= len(button.callback_data.encode()) <= _MOST_CALLBACK_BYTES:
        raise ValueError(f"a button's callbackData: 1 to {_MOST_CALLBACK_BYTES} bytes")


def targets(given: Mapping[str, Any]) -> list[str]:
    """Where the buttons lead to, by the numbers that ``addressed`` gives them.

    Web addresses are in ASCII, as a header takes them.
    """
    urls = (button.url for row in read_options(given).rows for button in row)
    return [str(URL(url)) if _is_web(url) else url for url in urls if url is not None]


def _is_web(url: str) -> bool:
    return url.lower().startswith(_WEB)


def addressed(rows: Sequence[Sequence[Button]], links: Links | None) -> list[list[Button]]:
    """The rows with web addresses led through ``links``, by the how-manieth button with a URL it is, from 0."""
    count = 0
    shown: list[list[Button]] = []
    for row in rows:
        shown.append([])
        for button in row:
            url = button.url
            if url is not None:
                if links is not None and _is_web(url):
                    url = links.click(count)
                count += 1
            shown[-1].append(Button(button.text, url, button.callback_data))
    return shown
