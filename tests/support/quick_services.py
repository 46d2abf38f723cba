"""A part of Wireroom as a process that has its libraries loaded already: loading them costs more than a second each.

Such a process runs the module that an operator's would, from its first line, with its own environment, session and
log, and is signalled and killed like any other. What starts as an operator starts it, and finds its libraries itself,
is ``commands.running`` (``tests/acceptance``) and the rig of ``tests/faults``.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from tests.support.processes import die_with_parent

_ROOT: Final = Path(__file__).parents[2]
_LONGEST: Final = 1 << 17  # bytes of a request: what a process is told
# All but the modules that are run, and those that read settings as they load.
_LOADED: Final = (
    "aiosqlite",
    "api_shim.protocol",
    "api_shim.routing",
    "asyncpg",
    "channels.liquid",
    "channels.telegram",
    "dramatiq.asyncio",
    "dramatiq.cli",
    "models.store.keeping",
    "pywebpush",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "worker.actors",
    "worker.alarms",
    "worker.retention",
)


class Service:
    """The process, of which one may ask what one asks of a ``subprocess.Popen``."""

    def __init__(self, arguments: Sequence[str], told: int) -> None:
        """``told``: where its keeper writes its pid and, at its end, its exit code."""
        self.args = tuple(arguments)
        self._told = os.fdopen(told, "r")
        pid = self._told.readline()
        if not pid:
            raise RuntimeError("there is nobody to start processes: its words are above")
        self.pid = int(pid)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code; None: it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended; raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if timeout is not None and not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            # Without a word its keeper was killed, which takes it along.
            self.returncode = int(self._told.readline() or -signal.SIGKILL)
            self._told.close()
        return self.returncode

    def send_signal(self, sign: signal.Signals) -> None:
        """Signal it, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ends right now
                os.kill(self.pid, sign)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(arguments: Sequence[str], environment: Mapping[str, str], log: int) -> Service:
    """Run a module, with arguments, as ``python -m`` does; ``log``: a file descriptor for all that it prints."""
    ours, its = os.pipe()
    request = json.dumps([list(arguments), dict(environment)]).encode()
    socket.send_fds(_server(), [request], [log, its])
    os.close(its)
    return Service(arguments, ours)


@functools.cache
def _server() -> socket.socket:
    """One process that forks, for all of this one's; it ends with us, and all that it forked with it."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-m", __name__], cwd=_ROOT, stdin=its.fileno(), stdout=subprocess.DEVNULL
    )
    its.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _serve() -> None:
    """Load what all need, then fork whenever asked to; returns where there is nobody left to ask, and in each fork."""
    from models import light_start  # noqa: PLC0415 - for this process alone

    light_start.begin()
    light_start.load_libraries()
    for name in _LOADED:
        importlib.import_module(name)
    gc.freeze()
    line = socket.socket(fileno=os.dup(0))
    while True:
        request, descriptors, _, _ = socket.recv_fds(line, _LONGEST, 2)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not request:
            return
        if os.fork() == 0:
            line.close()
            die_with_parent()
            log, told = descriptors
            pid = os.fork()
            if pid:
                _keep(pid, told)
            os.close(told)
            _become(*json.loads(request), log=log)
            return
        for each in descriptors:
            os.close(each)


def _keep(pid: int, told: int) -> NoReturn:
    """Tell the process's id, and how it ended."""
    os.write(told, b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    os.write(told, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(arguments: list[str], environment: dict[str, str], *, log: int) -> None:
    os.setsid()
    die_with_parent()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, log, log)):
        os.dup2(descriptor, number)
    os.closerange(3, max(nothing, log) + 1)
    os.environ.clear()
    os.environ.update(environment)
    name, *rest = arguments
    sys.argv = [name, *rest]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve()
