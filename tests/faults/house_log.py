"""What a house may never say in its log, whatever is done to it: that a part of it came upon what it did not expect."""

import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Final

from tests.support import leaks

NAME: Final = "house.log"
_COMPLAINT: Final = re.compile(r"[a-z]+\.(?:\w+_)?broke\b|Traceback \(most recent call last\)")
_WIDTH: Final = 600


def complaints(folder: Path, provoked: Collection[str] = ()) -> list[str]:
    """A fault for each sort of complaint in the log of the house in ``folder``, with the first such line.

    Lines with one of the words of ``provoked`` are none, but what no line may hold is always one. Without a house
    there is no log.
    """
    path = folder / NAME
    found: dict[str, list[str]] = defaultdict(list)
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    for number, line in enumerate(lines):
        sort = _COMPLAINT.search(line)
        if sort is not None and not any(word in line for word in provoked):
            # A traceback goes on for lines; what it comes to stands at its end.
            words = " ".join(lines[number : number + 40]) if sort[0].startswith("Traceback") else line
            found[sort[0]].append(words)
    said = [f"{NAME}: {len(same)} of {sort}, as {same[0][:_WIDTH]}" for sort, same in found.items()]
    return said + leaks.leaks(NAME, "\n".join(lines))
