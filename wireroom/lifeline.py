"""A process that outlives its parent just long enough to stop what the parent started.

``python -m wireroom.lifeline`` reads ``+PID`` and ``-PID`` lines, process groups that began and ended. When its
input ends, whether the parent closed it or was killed, the leaders of the groups that are left get SIGTERM and,
after a grace, what is left of each group SIGKILL. A pipe that ends is known on every POSIX system; a parent-death
signal is known on Linux alone.
"""

import contextlib
import os
import signal
import sys
import time
from typing import IO, Final

GRACE_S: Final = 35.0
_POLL_S: Final = 0.1


def watch(lines: IO[str], grace_s: float = GRACE_S) -> None:
    """Follow ``lines`` to their end, then stop the groups that are left."""
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    deadline = time.monotonic() + grace_s
    for group in groups:
        with contextlib.suppress(ProcessLookupError):  # the leader died before, and what it forked did not
            os.kill(group, signal.SIGTERM)
    while groups and time.monotonic() < deadline:
        groups = {group for group in groups if signal_group(group, 0)}
        time.sleep(_POLL_S)
    for group in groups:
        signal_group(group, signal.SIGKILL)


def signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; False where nothing of it is left."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group that holds zombies only
        return False
    return True


if __name__ == "__main__":
    # The terminal's Ctrl-C is the parent's business; this process ends when its input does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    watch(sys.stdin)
