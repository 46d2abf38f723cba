"""Worker and keeper as processes of their own, to be watched and killed."""

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Final

import psutil

from tests.support import leaks, quick_services
from tests.support.processes import free_environment, stop
from tests.support.quick_services import Service

WORKER: Final = ("dramatiq", "worker.main", "--skip-logging", "--processes", "1", "--threads", "4")
KEEPER: Final = ("worker.keeper",)


class House:
    """The processes of one installation, all on the same servers."""

    def __init__(self, folder: Path, *, database_url: str, redis_url: str, smtp_port: int) -> None:
        self._folder = folder
        self._environment = {
            **free_environment(),
            "WIREROOM_DATA_DIR": str(folder),
            "WIREROOM_DATABASE_URL": database_url,
            "WIREROOM_REDIS_URL": redis_url,
            "WIREROOM_SECRET_KEY": "Vn5sCq0mY3fXo7Jt1LbR9wKzEuDh2GpA4iTyS6xNkQc=",
            "WIREROOM_SMTP_URL": f"smtp+plain://127.0.0.1:{smtp_port}",
            "WIREROOM_EMAIL_FROM": "Wireroom <noreply@example.org>",
            "WIREROOM_WEBHOOK_ALLOW_NETS": "127.0.0.0/8",
        }
        self._processes: list[Service] = []

    def start_worker(self, **settings: str) -> Service:
        """A worker: dramatiq's master, which forks one child."""
        return self._start("worker", WORKER, settings)

    def start_keeper(self, **settings: str) -> Service:
        """A keeper."""
        return self._start("keeper", KEEPER, settings)

    def kill_worker(self, worker: Service) -> list[int]:
        """SIGKILL for the whole family of a worker: nobody gets to say goodbye; the ids of its processes."""
        family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        worker.wait()
        return [process.pid for process in family]

    def kill(self) -> None:
        """SIGKILL for everything: what it waits for will not come."""
        for process in self._processes:
            if process.poll() is None:
                self.kill_worker(process)

    def log(self, name: str) -> str:
        """What the processes of that name wrote so far."""
        return "".join(path.read_text(errors="replace") for path in sorted(self._folder.glob(f"{name}-*.log")))

    def close(self) -> None:
        """Stop what still runs, and show what all of it wrote: pytest prints it where a test failed."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            stop(process)
            with contextlib.suppress(ProcessLookupError):  # a master that had to be killed leaves its child
                os.killpg(process.pid, signal.SIGKILL)
        for path in sorted(self._folder.glob("*.log")):
            leaks.read(path)
            sys.stdout.write(f"--- {path.name}\n{path.read_text(errors='replace')[-4000:]}\n")

    def _start(self, name: str, command: tuple[str, ...], settings: dict[str, str]) -> Service:
        path = self._folder / f"{name}-{len(self._processes)}.log"
        with path.open("wb") as log:
            process = quick_services.start(command, self._environment | settings, log.fileno())
        self._processes.append(process)
        return process
