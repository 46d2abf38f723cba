"""The part of the environment that the bench itself reads, and its own worker."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from models.settings import StorageSettings
from wireroom.settings import child_environment

PROFILE_VARIABLE: Final = "WIREROOM_BENCH_PROFILE"
# What pip is told, and by which name uv is told the same.
_UV_NAMES: Final = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_CERT": "SSL_CERT_FILE"}


def profile_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where a profiled worker writes what it measured."""
    return Path(environ[PROFILE_VARIABLE])


def peers_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the libraries of peers stay, so that they are installed once; raises InvalidSetting."""
    return StorageSettings.read(environ).data_dir / "bench"


def installer_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What uv and npm see: where pip is told of an index or certificates of one's own, uv uses them too."""
    told = {ours: environ[theirs] for theirs, ours in _UV_NAMES.items() if environ.get(theirs)}
    return {**told, **child_environment(environ)}
