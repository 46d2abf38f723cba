"""structlog, set up once per process: JSON lines, or colours on a terminal.

No address, subject, body, token or secret ever goes into a log line; log ids. An error is told by its type and its
places, without its words: they are whoever's raised it, and a database's name the values that it was given.
"""

import logging
import sys
import traceback
from typing import Final

import structlog
from structlog.typing import EventDict, ExcInfo

_BY_ASYNCIO: Final = "asyncio"
_CALLBACK_BROKE: Final = "Exception in callback "


def configure(level: str, form: str) -> None:
    """Send structlog and the standard library's logging to stderr in one form (``json``, ``console`` or '')."""
    console = form == "console" or (not form and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_objects,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=True) if console else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(_error_of),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("aiosqlite", "alembic", "asyncio", "httpx", "httpcore", "telegram", "uvicorn", "dramatiq"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # They log what they read: addresses of mails, and errors over mails that are none.
    for indiscreet in ("flufl.bounce", "mail.log"):
        logging.getLogger(indiscreet).setLevel(logging.CRITICAL)


def places(error: BaseException) -> str:
    """Where an error happened, line by line, without its words, which may hold personal data."""
    return "".join(traceback.format_tb(error.__traceback__))


def _error_of(exc_info: ExcInfo) -> str:
    """An error and those that it came of, the first of them first: the places of each, and then its type."""
    return "\n".join(f"{places(each)}{_name_of(type(each))}" for each in _origins(exc_info[1]))


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _origins(error: BaseException) -> list[BaseException]:
    """The errors that this one came of, itself, and those that it is a group of; each once."""
    chain = [error]
    while (before := _came_of(chain[0])) is not None and before not in chain:
        chain.insert(0, before)
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return chain + [each for member in inner for each in _origins(member) if each not in chain]


def _came_of(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def _without_objects(_logger: object, _level: str, entry: EventDict) -> EventDict:
    """What asyncio says, without the tasks, callbacks and errors that it shows beside, with their words."""
    if entry.get("logger") == _BY_ASYNCIO:
        said = str(entry["event"]).partition("\n")[0]
        if said.startswith(_CALLBACK_BROKE):
            said = said.partition("(")[0]
        entry["event"] = said
    return entry
