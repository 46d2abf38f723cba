"""What each of our processes does before it loads the rest, so that it starts and ends with less work.

A command is done within a second or two, and most of that is loading, and giving back what was loaded.
"""

import atexit
import gc
import sys
from types import ModuleType
from typing import Final, cast

_UNUSED: Final = "rich"


def begin() -> None:
    """For the first lines of a program: what is imported above it is loaded as slowly as ever.

    Looking for cycles every 700 objects is an eighth of the time that loading takes, and a tenth of the work later, as
    each message makes a few hundred that live briefly. At the end they would be looked for in all that is loaded,
    which is another tenth.
    """
    gc.set_threshold(50_000, 20, 100)
    atexit.register(gc.freeze)


def load_structlog() -> None:
    """For programs that log: without ``rich``, which structlog loads where it can and ``models.logs`` does not use."""
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    if _UNUSED in modules:
        return
    modules[_UNUSED] = None  # not to be found: https://docs.python.org/3.11/reference/import.html#the-module-cache
    try:
        import structlog  # noqa: F401, PLC0415 - that is what is wanted
    finally:
        del modules[_UNUSED]
