"""A plugin of pytest: a test fails in which a canary was found (``tests.support.leaks``).

What is logged in the process that runs the tests is written as our processes write it, and looked through, too.
"""

import logging
import sys
from collections.abc import Generator
from typing import Any

import pytest

from models import logs
from tests.support import leaks


class Listening(logging.Handler):
    """Looks through each line, and shows it wherever pytest has standard error go."""

    def emit(self, record: logging.LogRecord) -> None:
        """Take one."""
        line = self.format(record)
        leaks.see(f"the log, by {record.name}", line)
        sys.stderr.write(f"{line}\n")


def pytest_configure() -> None:
    """Log as our processes do."""
    logs.configure("info", "json")
    root = logging.getLogger()
    listening = Listening()
    listening.setFormatter(root.handlers[0].formatter)
    root.handlers[:] = [listening]
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # of the tests' own servers


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """After a test and its fixtures have ended, and so all that they started."""
    report = yield
    if call.when == "teardown" and (found := leaks.take()):
        report.outcome = "failed"
        report.longrepr = "\n".join([f"{item.nodeid} let out what nobody may read:", *found])
    return report
