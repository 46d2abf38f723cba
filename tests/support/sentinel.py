"""A Valkey with a replica and a sentinel that watches both, on TCP ports of this machine."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import redis

from tests.support.processes import block_until, die_with_parent, short_folder, stop
from wireroom.embedded import find_server
from wireroom.ports import free_port

SERVICE: Final = "wireroom"


class Sentinel:
    """``url``: where clients ask for the master. ``kill_master`` ends the present one as a power cut would."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: dict[int, subprocess.Popen[bytes]] = {}
        master, replica, self._port = free_port(), free_port(), free_port()
        self._start(master, "--save", "")
        self._start(replica, "--save", "", "--replicaof", "127.0.0.1", str(master))
        config = folder / "sentinel.conf"
        lines = (
            f"port {self._port}",
            "bind 127.0.0.1",
            f"sentinel monitor {SERVICE} 127.0.0.1 {master} 1",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 3000",
        )
        config.write_text("\n".join(lines) + "\n")
        self._start(self._port, str(config), "--sentinel")
        block_until(self._has_replica, self._servers[self._port], self._log(self._port))
        self.url = f"redis+sentinel://127.0.0.1:{self._port}/{SERVICE}/0"

    def master(self) -> int:
        """The port of the present master."""
        with redis.Redis(port=self._port) as client:
            return int(client.sentinel_get_master_addr_by_name(SERVICE)[1])

    def kill_master(self) -> int:
        """Kill it; returns the port that it had."""
        port = self.master()
        os.kill(self._servers[port].pid, signal.SIGKILL)
        self._servers[port].wait()
        return port

    def stop(self) -> None:
        """End what still runs."""
        for process in self._servers.values():
            stop(process)

    def _has_replica(self) -> bool:
        with redis.Redis(port=self._port) as client:
            state = client.sentinel_master(SERVICE)
            return int(state["num-slaves"]) == 1 and "o_down" not in state["flags"]

    def _log(self, port: int) -> Path:
        return self._folder / f"{port}.log"

    def _start(self, port: int, *arguments: str) -> None:
        first = () if arguments[0].endswith(".conf") else ("--port", str(port), "--bind", "127.0.0.1")
        with self._log(port).open("wb") as log:
            process = subprocess.Popen(
                [str(find_server()), *first, *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - it calls one function of the C library
            )
        self._servers[port] = process

        def answers() -> bool:
            with redis.Redis(port=port) as client, contextlib.suppress(redis.ConnectionError):
                return bool(client.ping())
            return False

        block_until(answers, process, self._log(port))


@contextlib.contextmanager
def running() -> Iterator[Sentinel]:
    """Start all three and stop them at the end."""
    with short_folder() as folder:
        sentinel = Sentinel(folder)
        try:
            yield sentinel
        finally:
            sentinel.stop()
