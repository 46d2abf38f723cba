"""What the figures were taken on: a figure without its machine says nothing."""

import importlib.metadata
import os
import platform
import statistics
import sys
import sysconfig
import time
from pathlib import Path
from typing import Final

import msgspec

_FSYNCS: Final = 100
_CPUINFO: Final = Path("/proc/cpuinfo")
_LIBRARIES: Final = ("aiohttp", "aiosmtplib", "asyncpg", "dramatiq", "sqlalchemy", "uvloop")


class Cores(msgspec.Struct, frozen=True):
    """``sending``: where worker and bare loop run, one at a time; ``rest``: everything else. Empty: not pinned."""

    sending: frozenset[int]
    rest: frozenset[int]

    @property
    def all(self) -> frozenset[int]:
        """Every core that may be used."""
        return self.sending | self.rest


class Machine(msgspec.Struct, frozen=True):
    """Times in the unit that their names say.

    ``pgo``: the interpreter was configured to be built with profile-guided optimisation (``--enable-optimizations``).
    Debian's says nothing of the kind and is nearly as fast all the same.
    """

    system: str
    processor: str
    cores: int
    pinned: bool
    python: str
    compiler: str
    pgo: bool
    lto: bool
    libraries: dict[str, str]
    database: str
    fsync_us: float
    load_before: float


def choose_cores() -> Cores:
    """One core for what is compared, the others for what serves both; no pinning where there is only one."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(frozenset(), frozenset())
    there = sorted(os.sched_getaffinity(0))
    if len(there) < 2:
        return Cores(frozenset(), frozenset())
    return Cores(frozenset(there[-1:]), frozenset(there[:-1]))


def describe(folder: Path, cores: Cores, database: str) -> Machine:
    """This machine; ``folder`` is on the disk that the database writes to."""
    build = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=_processor(),
        cores=os.cpu_count() or 1,
        pinned=bool(cores.sending),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        compiler=platform.python_compiler(),
        pgo="--enable-optimizations" in build,
        lto="--with-lto" in build,
        libraries={name: importlib.metadata.version(name) for name in _LIBRARIES},
        database=database,
        fsync_us=_fsync_us(folder),
        load_before=os.getloadavg()[0],
    )


def interpreter(machine: Machine) -> str:
    """The interpreter and how it was built, in one line."""
    optimised = "PGO" if machine.pgo else "configured without PGO"
    return f"{machine.python}, {optimised}{', LTO' if machine.lto else ''}, {machine.compiler}"


def _processor() -> str:
    if sys.platform == "linux" and _CPUINFO.exists():
        for line in _CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _fsync_us(folder: Path) -> float:
    """The median time of one small write made durable, in microseconds."""
    times = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(_FSYNCS):
            began = time.perf_counter()
            file.write(bytes(8192))
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return round(statistics.median(times) * 1e6, 1)
