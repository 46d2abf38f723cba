"""What each of our processes does before it loads the rest, so that it starts and ends with less work.

A command is done within a second or two, and most of that is loading, and giving back what was loaded.
"""

import atexit
import gc
import importlib
import sys
from types import ModuleType
from typing import Final, cast

_UNUSED: Final = {"structlog": "rich", "redis": "opentelemetry"}


def begin() -> None:
    """For the first lines of a program: what is imported above it is loaded as slowly as ever.

    Looking for cycles every 700 objects is an eighth of the time that loading takes, and a tenth of the work later, as
    each message makes a few hundred that live briefly. At the end they would be looked for in all that is loaded,
    which is another tenth.
    """
    gc.set_threshold(50_000, 20, 100)
    atexit.register(gc.freeze)


def load_libraries() -> None:
    """For programs that log and use the broker: without what libraries load where they can, and nobody here uses.

    structlog loads ``rich``, which ``models.logs`` does not use; redis-py OpenTelemetry, to count what nobody reads.
    """
    for library, unused in _UNUSED.items():
        _load(library, unused)


def _load(library: str, unused: str) -> None:
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    if unused in modules:
        return
    modules[unused] = None  # not to be found: https://docs.python.org/3.11/reference/import.html#the-module-cache
    try:
        importlib.import_module(library)
    finally:
        del modules[unused]
