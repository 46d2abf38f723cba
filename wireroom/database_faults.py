"""What a database that refuses says, in words for a terminal."""

import os
from typing import Final

from models.errors import StorageUnavailable, WireroomError

_LONGEST: Final = 200


class DatabaseFault(WireroomError):
    """The database cannot be used; the text says why and what to do."""


def cause(error: BaseException) -> str:
    """The first cause of ``error``, in one line: what the system or the server said."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    said = (str(error).splitlines() or [""])[0]
    return said[:_LONGEST] or type(error).__name__


def refusal(error: Exception) -> DatabaseFault | None:
    """The same error with words for a person; None where it is none that a database or its driver raises."""
    if isinstance(error, StorageUnavailable):
        said = f"the database cannot be used now ({cause(error)})"
    elif says_so_itself(error):
        said = f"the database refuses ({cause(error)})"
    else:
        return None
    return DatabaseFault(f"{said}: start it, or correct WIREROOM_DATABASE_URL; `wireroom doctor` checks it")


def says_so_itself(error: BaseException) -> bool:
    """Whether a PostgreSQL server refused us, with an SQLSTATE of its own: no such database, wrong password."""
    orig = getattr(error, "orig", None) or error
    return isinstance(getattr(orig, "sqlstate", None), str)
