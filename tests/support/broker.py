"""A real Valkey: the embedded broker of ``wireroom up``, in a folder of the tests' own."""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator

import redis

from tests.support import processes
from wireroom.embedded import EmbeddedBroker


class ValkeyServer(EmbeddedBroker):
    """A running server. ``kill``, ``start`` and ``start_empty`` do to it what the world does."""

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def start_empty(self) -> None:
        """Start it with nothing of what it knew before."""
        shutil.rmtree(self.data_dir / "broker", ignore_errors=True)
        self.start()

    def flush(self) -> None:
        """Forget everything."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()


@contextlib.contextmanager
def running() -> Iterator[ValkeyServer]:
    """Start a server and stop it at the end."""
    with processes.short_folder() as folder, ValkeyServer(folder) as server:
        yield server
