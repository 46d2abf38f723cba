"""``make namespaces``: the walk-through of ``docs/many-machines.md``, in full; a table of what came of it and its line.

``python -m tests.faults.namespaces [--size full] [--seed N]``; ends 3 where no network namespaces can be made, and else
as ``tests.faults.run`` does.
"""

import sys
from pathlib import Path
from typing import Final

from tests.faults import run
from tests.faults.experiment import Size
from tests.support import network

_EXPERIMENT: Final = "many-machines"
_LINES: Final = Path(".faults") / f"{_EXPERIMENT}.jsonl"
_NOT_HERE: Final = 3


def main() -> int:
    """The exit code."""
    if (why := network.why_not()) is not None:
        sys.stderr.write(f"{why}\n")
        return _NOT_HERE
    # What is given stands behind, and wins.
    sys.argv[1:1] = ["--size", Size.FULL, "--only", _EXPERIMENT, "--json", str(_LINES)]
    code = run.main()
    if _LINES.exists():
        sys.stdout.write(_LINES.read_text().splitlines()[-1] + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
