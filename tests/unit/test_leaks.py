"""The check for canaries finds what is planted, wherever it is written."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import collector, leaks
from tests.support.bot_api import TOKEN
from tests.support.exposed import Exposed

_ROOT = Path(__file__).parents[2]
_PLANTED = """
import structlog

def test_that_is_discreet():
    structlog.get_logger("ours").info("send.ended", message="msg_01")

def test_that_leaks():
    structlog.get_logger("ours").info("send.ended", to="ann@example.org")

def test_that_breaks():
    words = "@".join(["ann", "example.org"])
    try:
        raise ValueError(words)
    except ValueError:
        structlog.get_logger("ours").exception("broke")
"""


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("address", "550 5.1.1 <ann@example.org>: user unknown"),
        ("address", "GET /contacts?email=ann%40mail.example.net"),
        ("key", "Authorization: Bearer wr_live_x"),
        ("key", "Authorization: Bearer wr_test_x"),
        ("secret", "signed by whsec_MfKQ"),
        ("bot", f"POST https://api.telegram.org/bot{TOKEN}/sendMessage"),
        ("chat", f"chat {leaks.CHAT} not found"),
        ("words", "could not render 'Good morning, Ann'"),
        ("token", "GET /u/AbCdEfGhIjKlMnOpQrSt"),
        ("token", "GET /inbox/stream?token=AbCdEfGhIj"),
        ("hook", "POST /hooks/generic/AbCdEfGhIjKlMnOpQrSt"),
        ("endpoint", "cannot connect to http://127.0.0.1:9000/hook"),
        ("endpoint", "cannot connect to https://hooks.shop.example/"),
    ],
)
def test_each_canary_is_found_in_its_line(kind: str, line: str) -> None:
    assert leaks.leaks("worker-0.log", f"worker.started\n{line}\nworker.stopped") == [f"worker-0.log: {kind}: {line}"]


def test_what_we_log_is_none() -> None:
    line = '{"message": "msg_01jx9g6z0zfqav4wb2m5t7k8nd", "reason": "invalid_address", "event": "send.ended"}'
    assert leaks.leaks("worker-0.log", line) == []


def test_a_log_a_page_of_metrics_and_a_span_are_looked_through(tmp_path: Path) -> None:
    log = tmp_path / "worker-0.log"
    log.write_text("550 ann@example.org\n")
    leaks.read(log)
    Exposed('wireroom_things_total{workspace="ws_01jx9g6z0zfqav4wb2m5t7k8nd"} 1.0\n')
    collector.look_through(b"\n\x0fann@example.org")
    assert [each.split(": ")[:2] for each in leaks.take()] == [
        ["worker-0.log", "address"],
        ["the metrics", "id"],
        ["a span", "address"],
    ]


def test_a_planted_leak_fails_its_test_and_no_other(tmp_path: Path) -> None:
    planted = tmp_path / "test_planted.py"
    planted.write_text(_PLANTED)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.leak_check", "-p", "no:randomly", str(planted)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stdout
    assert "test_planted.py::test_that_leaks let out what nobody may read:" in run.stdout
    assert "the log, by ours: address: " in run.stdout
    assert "3 passed, 1 error" in run.stdout
