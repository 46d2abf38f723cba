"""structlog, set up once per process: JSON lines, or colours on a terminal.

No address, subject, body, token or secret ever goes into a log line; log ids.
"""

import logging
import sys
import traceback

import structlog


def configure(level: str, form: str) -> None:
    """Send structlog and the standard library's logging to stderr in one form (``json``, ``console`` or '')."""
    console = form == "console" or (not form and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=True)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
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
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("aiosqlite", "alembic", "asyncio", "httpx", "httpcore", "uvicorn", "dramatiq"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def places(error: BaseException) -> str:
    """Where an error happened, line by line, without its words, which may hold personal data."""
    return "".join(traceback.format_tb(error.__traceback__))
