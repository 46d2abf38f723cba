"""What ``wireroom doctor`` finds of the disk that the data directory is on."""

import shutil
from pathlib import Path
from typing import Final

from wireroom.finding import Finding

_LITTLE: Final = 1 << 30
"""Bytes: about a million messages."""
_TOO_LITTLE: Final = 100 << 20
_MEGABYTE: Final = 1 << 20


def examine(folder: Path, *, holds_messages: bool) -> Finding:
    """``holds_messages``: whether the database lies there, too; else only keys and a broker's few wake-ups do."""
    free = shutil.disk_usage(folder).free
    left = f"{free // _MEGABYTE:,} MB are free for {folder}"
    if free < _TOO_LITTLE:
        mend = "make room: what cannot be written is answered 503, and nothing is sent"
        return Finding("disk", ok=False, detail=left, mend=mend)
    if holds_messages and free < _LITTLE:
        mend = "make room, or keep messages for fewer days (`retentionDays`): each takes about 1 KB and its text"
        return Finding("disk", ok=True, detail=left, mend=mend)
    return Finding("disk", ok=True, detail=left)
