"""Experiments side by side, a process each: those that wait more than they work, and that are not judged by seconds."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Final

PATIENT: Final = frozenset(
    {
        "clocks",
        "crash-points",
        "explorer",
        "mail-peers",
        "poison",
        "push-and-bot-peers",
        "storage-full",
        "two-versions",
        "web-peers",
        "writer-killed",
    }
)
_AT_ONCE: Final = 2


def lines_of(names: Sequence[str], options: Sequence[str], file: Path) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """The line of each, as it comes to its end; None where it wrote none.

    ``file`` gets them all; what the processes print is beside it.
    """
    running: list[subprocess.Popen[bytes]] = []

    def one(name: str) -> dict[str, Any] | None:
        lines = file.with_name(f"{file.stem}.{name}.jsonl")
        command = (sys.executable, "-m", "tests.faults.run", *options, "--only", name, "--json", str(lines))
        with lines.with_suffix(".log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            running.append(process)
            process.wait()
        if not lines.exists():
            return None
        said = lines.read_text()
        lines.unlink()
        with file.open("a") as every:
            every.write(said)
        line: dict[str, Any] = json.loads(said)
        return line

    threads = ThreadPoolExecutor(_AT_ONCE)
    try:
        begun = {threads.submit(one, name): name for name in names}
        for ended in as_completed(begun):
            yield begun[ended], ended.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for process in running:
            process.terminate()  # nothing, where it has ended
        threads.shutdown()
