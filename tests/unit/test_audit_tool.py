"""``make audit``: what it makes of reports, licences and locks, and that it never takes silence for an all-clear."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from api_shim import sessions
from models.secrets import new_token
from models.store import keys
from tools import audit


def report(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": list(packages), "fixes": []})


FINE = {"name": "fine", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "2.0", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["2.1"], "aliases": []}]}
SKIPPED = {"name": "ours", "skip_reason": "not on the index"}


@pytest.mark.parametrize(
    ("said", "beside", "end", "word"),
    [
        (report(FINE), "", 0, "none known of 1"),
        (report(FINE, BAD), "Found 1", 1, "bad 2.0: PYSEC-2026-1, mended in 2.1"),
        (report(FINE, SKIPPED), "", 3, "NOT CHECKED for 1 of 2, the advisory service knows none of: ours"),
        (report(BAD, SKIPPED), "", 1, "PYSEC-2026-1"),
        ("", "ERROR:pip_audit: connection refused", 3, "NOT CHECKED, the advisory service gave no answer: ERROR"),
        ("", "", 3, "NOT CHECKED"),
    ],
)
def test_advisories(capsys: pytest.CaptureFixture[str], said: str, beside: str, end: int, word: str) -> None:
    assert audit.judged(said, beside) == end
    assert word in capsys.readouterr().out


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 OR BSD-3-Clause", True),
        ("MIT AND Apache-2.0", True),
        ("AGPL-3.0-only OR MIT", True),
        ("MIT AND AGPL-3.0-only", False),
        ("AGPL-3.0-only", False),
        ("says nothing", False),
        ("", False),
    ],
)
def test_licences(said: str, *, allowed: bool) -> None:
    assert audit.is_allowed(said, frozenset({"MIT", "Apache-2.0", "BSD-3-Clause"})) is allowed


def test_a_lock() -> None:
    lock = "aiosmtplib==5.1.0 \\\n    --hash=sha256:00\n"
    lock += "Flufl.Bounce==6.0 ; sys_platform == 'linux' \\\n    --hash=sha256:11\n"
    assert audit.locked_names(lock) == {"aiosmtplib", "flufl-bounce"}


def test_every_part_that_is_unknown_or_found_is_the_end() -> None:
    for ends, end in (((0, 0, 0, 0), 0), ((3, 0, 0, 0), 3), ((3, 0, 1, 0), 1)):
        assert audit.worst(ends) == end


@pytest.mark.parametrize("prefix", [keys.TOKEN_PREFIX, keys.TEST_PREFIX, sessions.TOKEN_PREFIX])
def test_a_token_of_ours_is_found_and_an_example_is_not(tmp_path: Path, prefix: str) -> None:
    real, _ = new_token(prefix)
    example = real[:-1] + ("A" if real[-1] != "A" else "B")
    (tmp_path / "notes.txt").write_text(f"token: {real}\n")
    (tmp_path / "example.txt").write_text(f"token: {example}\n")
    for command in (["git", "init", "--quiet"], ["git", "add", "."]):
        subprocess.run(command, cwd=tmp_path, check=True)
    assert list(audit.own_tokens(tmp_path)) == ["notes.txt:1: a key of Wireroom's, or a session"]
