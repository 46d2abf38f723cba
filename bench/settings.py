"""The part of the environment that the bench's own worker reads."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PROFILE_VARIABLE: Final = "WIREROOM_BENCH_PROFILE"


def profile_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where a profiled worker writes what it measured."""
    return Path(environ[PROFILE_VARIABLE])
