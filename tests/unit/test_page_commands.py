"""That who copies a command from a page has every variable that it names: the page sets it, or says whose it is."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.support.page_links import PAGES, ROOT
from wireroom.settings import KNOWN

READERS_OWN: Final = {"contact": "a contact's id", "RESTORED_DATABASE_URL": "an empty database", "PATH": "", "PWD": ""}


def commands(page: Path) -> str:
    """What a page gives to be typed, without what a shell passes over."""
    fenced: list[tuple[str, str]] = re.findall(r"(?ms)^ *```(\w*)\n(.*?)^ *```$", page.read_text())
    return re.sub(r"#.*", "", "\n".join(block for language, block in fenced if language in ("", "sh")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_variables_are_set_on_the_page_or_are_settings(page: Path) -> None:
    typed = commands(page)
    given = set(re.findall(r"(?m)(?:^|[ ;])(?:export )?(\w+)=", typed))
    assert set(re.findall(r"\$\{?([A-Za-z_]\w*)", typed)) - given - KNOWN - READERS_OWN.keys() == set()


def test_variables_are_found() -> None:
    assert "api" in commands(ROOT / "README.md")
    assert set(re.findall(r"\$\{?(\w+)", commands(ROOT / "docs" / "sandbox.md"))) >= {"api", "auth", "contact"}


def test_as_many_ports_as_the_processes_that_the_page_begins() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    ((first, last, workers),) = re.findall(r"_METRICS_BIND=127\.0\.0\.1:(\d+)-(\d+) wireroom up --workers (\d+)", page)
    assert int(last) - int(first) + 1 == int(workers) + len(("bulk", "keeper"))
