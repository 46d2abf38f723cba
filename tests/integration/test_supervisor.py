import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import wait_until
from wireroom import lifeline
from wireroom.settings import child_environment
from wireroom.supervisor import Service, Supervisor, pause_before

LONG = "import time; time.sleep(300)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('{ready}', 'w'); time.sleep(300)"
NOTING = "import time; open('{note}', 'w').write('up'); time.sleep(300)"
FORKING = (
    "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)']);"
    "open('{note}', 'w').write(str(child.pid)); time.sleep(300)"
)


def service(name: str, code: str, drain_s: float = 10.0) -> Service:
    return Service(name, (sys.executable, "-c", code), drain_s=drain_s)


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    made = Supervisor(child_environment())
    await made.open()
    yield made
    made.kill()
    await made.close()


async def test_a_service_that_dies_is_started_again_at_once(supervisor: Supervisor) -> None:
    supervisor.start(service("one", LONG))
    await wait_until(lambda: "one" in supervisor.pids())
    first = supervisor.pids()["one"]
    os.kill(first, signal.SIGKILL)
    await wait_until(lambda: supervisor.pids().get("one", first) != first, timeout=3.0)
    assert supervisor.restarts("one") == 1


def test_a_service_that_dies_again_and_again_waits_up_to_five_seconds() -> None:
    pauses = [pause_before(restart) for restart in range(1, 9)]
    assert pauses == [0.0, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


async def test_stop_ends_the_named_service_and_no_other(supervisor: Supervisor) -> None:
    supervisor.start(service("one", LONG))
    supervisor.start(service("two", LONG))
    await wait_until(lambda: len(supervisor.pids()) == 2)
    pids = supervisor.pids()
    await supervisor.stop("one")
    assert not psutil.pid_exists(pids["one"])
    assert supervisor.pids() == {"two": pids["two"]}


async def test_what_does_not_stop_in_time_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    supervisor.start(service("one", STUBBORN.format(ready=ready), drain_s=0.2))
    await wait_until(ready.exists)
    pid = supervisor.pids()["one"]
    await supervisor.stop("one")
    assert not psutil.pid_exists(pid)


async def test_what_a_dead_service_had_forked_is_stopped_too(supervisor: Supervisor, tmp_path: Path) -> None:
    note = tmp_path / "note"
    supervisor.start(service("one", FORKING.format(note=note), drain_s=0.2))
    forked = int(await wait_until(lambda: note.exists() and note.read_text()))
    os.kill(supervisor.pids()["one"], signal.SIGKILL)
    await wait_until(lambda: not _runs(forked))


async def test_the_lifeline_kills_what_outlives_its_grace(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    stubborn = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STUBBORN.format(ready=ready)), start_new_session=True
    )
    await wait_until(ready.exists)
    lines = io.StringIO(f"+{stubborn.pid}\n+999999\n-999999\n")
    await asyncio.to_thread(lifeline.watch, lines, 0.2)
    assert await stubborn.wait() == -signal.SIGKILL


async def test_every_service_stops_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "note"
    code = f"""
import asyncio, sys
from wireroom import lifeline
from wireroom.settings import child_environment
from wireroom.supervisor import Service, Supervisor

async def main():
    supervisor = Supervisor(child_environment())
    await supervisor.open()
    supervisor.start(Service("one", (sys.executable, "-c", {NOTING.format(note=note)!r}), drain_s=10))
    await asyncio.Event().wait()

asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    await wait_until(lambda: note.exists() and note.read_text())
    children = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
    assert len(children) == 2  # the lifeline and the service
    parent.kill()
    await parent.wait()
    await wait_until(lambda: not any(_runs(pid) for pid in children))


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
