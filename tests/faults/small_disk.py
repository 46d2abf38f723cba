"""A disk that is soon full: a file system in memory of a few megabytes, where mounting one is allowed."""

import contextlib
import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LEFT_OUT: Final = "disk full: no file system may be mounted here"
_CHUNK: Final = b"\0" * 65_536


class SmallDisk:
    """One that is mounted on ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Take all the room that is left, to the last byte; again, what became free since."""
        for chunk in (_CHUNK, b"\0"):
            with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as ballast:
                while ballast.write(chunk):
                    pass

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink()

    def set_read_only(self, read_only: bool) -> None:
        """Refuse writes, or take them again; nobody may have a file open for writing."""
        _call("mount", "-o", f"remount,{'ro' if read_only else 'rw'}", str(self.folder))


@contextlib.contextmanager
def mounted(folder: Path, *, megabytes: int) -> Iterator[SmallDisk | None]:
    """Mount one on ``folder``, as its owner's; None where this process may not mount."""
    owner = folder.stat()
    options = f"size={megabytes}m,mode=700,uid={owner.st_uid},gid={owner.st_gid}"
    try:
        _call("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    except PermissionError:
        yield None
        return
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily: what still has a file open keeps it until it ends.
        _call("umount", "-l", str(folder))


def _call(*command: str) -> None:
    """Raises PermissionError with what the command said."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise PermissionError(errno.EPERM, str(error)) from error
    if answer.returncode:
        raise PermissionError(errno.EPERM, answer.stderr.strip())
