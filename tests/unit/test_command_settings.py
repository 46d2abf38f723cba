"""The names of our variables, and what the command line says of the rest."""

import errno
import os
import re
from pathlib import Path

import pytest

from models.vocabulary import Channel
from wireroom import database_faults
from wireroom.settings import KNOWN, unknown_variables
from wireroom.up import why_not_there

ROOT = Path(__file__).parents[2]


def test_every_variable_that_is_read_is_known_and_no_other() -> None:
    read = set()
    for package in ("models", "channels", "worker", "api_shim"):
        read |= set(re.findall(r'"(WIREROOM_[A-Z_]+)"', (ROOT / package / "settings.py").read_text()))
    read |= set(re.findall(r'get\("(WIREROOM_[A-Z_]+)"', (ROOT / "wireroom" / "settings.py").read_text()))
    families = re.findall(r"(WIREROOM_[A-Z_]+_)\{channel\}", (ROOT / "worker" / "settings.py").read_text())
    read |= {f"{family}{channel}" for family in families for channel in Channel}
    assert read == KNOWN


def test_the_readme_lists_every_variable() -> None:
    settings = (ROOT / "README.md").read_text().partition("## Settings")[2]
    listed = set(re.findall(r"WIREROOM_[A-Z_]+", settings))
    per_channel = re.compile(r"WIREROOM_(MAX_INFLIGHT|RATE)_")
    assert {name for name in KNOWN if not per_channel.match(name)} <= listed


def test_an_unknown_variable_is_named_with_its_nearest() -> None:
    given = {"WIREROOM_DATADIR": "x", "WIREROOM_QQQ": "x", "WIREROOM_BIND": "x", "PATH": "x"}
    assert unknown_variables(given) == {"WIREROOM_DATADIR": "WIREROOM_DATA_DIR", "WIREROOM_QQQ": None}


@pytest.mark.parametrize(
    ("number", "port", "words"),
    [
        (errno.EACCES, 80, ["127.0.0.1:80:", "below 1024", "WIREROOM_BIND=127.0.0.1:8080"]),
        (errno.EADDRINUSE, 8080, ["Stop what listens there", "WIREROOM_BIND=127.0.0.1:8081"]),
        (errno.EADDRINUSE, 65_535, ["WIREROOM_BIND=127.0.0.1:8080"]),
        (errno.EADDRNOTAVAIL, 8080, ["of this machine", "WIREROOM_BIND=127.0.0.1:8080"]),
    ],
)
def test_why_the_api_cannot_listen(number: int, port: int, words: list[str]) -> None:
    said = why_not_there("127.0.0.1", port, OSError(number, os.strerror(number)))
    assert all(word in said for word in words), said


def test_the_first_cause_is_what_is_said() -> None:
    refused = RuntimeError("outer")
    refused.__cause__ = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.1', 5432)")
    assert database_faults.cause(refused) == "Connection refused"
    assert database_faults.cause(ValueError("first\nsecond")) == "first"
    assert database_faults.cause(TimeoutError()) == "no answer in time"
    assert database_faults.refusal(ValueError("not a database's")) is None
