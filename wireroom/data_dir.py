"""The data directory: made where it is missing, and what stands in the way where it cannot be used."""

import os
import stat
from pathlib import Path
from typing import Final

from models.errors import InvalidSetting

VARIABLE: Final = "WIREROOM_DATA_DIR"
MEND: Final = f"name a folder that this user may write, as in {VARIABLE}=$HOME/wireroom"


def make(folder: Path) -> None:
    """Make the folder, for its owner alone, where it is missing; raises InvalidSetting where it cannot be used."""
    check(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:  # what only the attempt shows, as in a file system of the kernel's own
        raise InvalidSetting(f"{VARIABLE}: {folder} cannot be made ({error.strerror}); {MEND}") from error


def check(folder: Path) -> None:
    """Raises InvalidSetting where something stands in the way of the folder."""
    found = obstacle(folder)
    if found is not None:
        raise InvalidSetting(f"{VARIABLE}: {found}; {MEND}")


def obstacle(folder: Path) -> str | None:
    """Why the folder can be neither used nor made; None where it can."""
    for place in (folder, *folder.parents):
        try:
            mode = place.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue  # the first of its parents that is there decides
        except OSError as error:
            return f"{place} cannot be entered ({error.strerror})"
        if not stat.S_ISDIR(mode):
            return f"{place} is not a folder"
        if not os.access(place, os.W_OK | os.X_OK):
            return f"this user may not write in {place}"
        return None
    return f"{folder} has no parent"
