"""Clocks that are wrong: libfaketime before a program, with an offset that stands or one that changes as it runs."""

import contextlib
import importlib.util
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.postgres_wheel import USER, Cluster
from tests.support import processes
from wireroom.supervisor import Service

_LIBRARY: Final = Path("vendor/libfaketime/src/libfaketime.so.1")
_ENOUGH_S: Final = 300
_OPTIONS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "autovacuum_naptime": "10s",
    "timezone": "UTC",
}


def _library(folder: Path) -> Path:
    """libfaketime, copied to a folder that everybody may enter and whose name holds no space: LD_PRELOAD is a list.

    Raises RuntimeError where its wheel has none for this machine.
    """
    spec = importlib.util.find_spec("libfaketime")
    if spec is None or spec.origin is None:
        raise RuntimeError("libfaketime is not installed: make install")
    found = Path(shutil.copy(Path(spec.origin).parent / _LIBRARY, folder))
    told = subprocess.run(
        ["env", *_shift(found, "+600"), sys.executable, "-c", "import time; print(time.time())"],
        capture_output=True,
        text=True,
        check=True,
    )
    if float(told.stdout) < time.time() + _ENOUGH_S:
        raise RuntimeError(f"libfaketime's wheel does not move the clocks of this machine: {told.stderr.strip()}")
    return found


def _shift(preloaded: Path, offset: str) -> list[str]:
    # How long something takes stays true: only the time of day is another.
    return [f"LD_PRELOAD={preloaded}", f"FAKETIME={offset}", "FAKETIME_DONT_FAKE_MONOTONIC=1"]


class ShiftedPostgres:
    """A PostgreSQL whose clock can be set while it runs."""

    def __init__(self, cluster: Cluster, process: "subprocess.Popen[bytes]", offset: Path, preloaded: Path) -> None:
        self.url = cluster.url("postgres")
        self.process = process
        self._offset = offset
        self._preloaded = preloaded

    def elsewhere(self, service: Service, seconds: int) -> Service:
        """The same service on a machine whose clock is ahead of the true one by so much, or behind."""
        return Service(
            service.name, ("env", *_shift(self._preloaded, f"{seconds:+}"), *service.command), service.drain_s
        )

    def shift(self, seconds: int) -> None:
        """Set its clock ahead of the true one by so much, or behind."""
        beside = self._offset.with_suffix(".new")
        beside.write_text(f"{seconds:+}\n")
        beside.replace(self._offset)  # at once: half an offset is never read


@contextlib.contextmanager
def postgres() -> Iterator[ShiftedPostgres]:
    """A server of its own, with a true clock at first."""
    with processes.short_folder() as folder:
        cluster = Cluster(folder)
        initdb = [str(part) for part in cluster.initdb()]
        groups: list[str | int] | None = None if USER is None else []
        subprocess.run(initdb, capture_output=True, check=True, cwd=folder, user=USER, extra_groups=groups)
        preloaded = _library(folder)
        offset = folder / "offset"
        offset.write_text("+0\n")
        log = folder / "postgres.log"
        environment = _shift(preloaded, "+0")[::2]
        environment += [f"FAKETIME_TIMESTAMP_FILE={offset}", "FAKETIME_NO_CACHE=1"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["env", *environment, *cluster.server(_OPTIONS)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                user=USER,
                extra_groups=groups,
                preexec_fn=processes.die_with_parent,  # noqa: PLW1509 - it calls prctl and nothing else
            )
        try:
            processes.block_until(cluster.is_ready, process, log)
            yield ShiftedPostgres(cluster, process, offset, preloaded)
        finally:
            processes.stop(process, signal.SIGINT)
