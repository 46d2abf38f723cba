"""Links of the pages that people read, and what they may lead to."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = tuple(
    sorted(path for pattern in ("*.md", "docs/**/*.md", "deploy/**/*.md") for path in ROOT.glob(pattern))
)

_CODE: Final = re.compile(r"(?sm)^```.*?^```|`[^`\n]*`")
_LINK: Final = re.compile(r"\]\(([^()\s]+)\)")


def links(page: Path) -> Iterator[str]:
    """The targets of a page's links into this repository, as they are written."""
    for target in _LINK.findall(_CODE.sub("", page.read_text())):
        if "://" not in target and not target.startswith("mailto:"):
            yield target


def is_there(page: Path, target: str) -> bool:
    """Whether a link leads to a file, and to a heading of it where it names one."""
    name, _, heading = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    return path.exists() and (not heading or heading in _headings(path))


@cache
def _headings(page: Path) -> frozenset[str]:
    """The anchors that GitHub gives to a page's headings."""
    titles = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?sm)^```.*?^```", "", page.read_text()))
    return frozenset(re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles)
