"""Canaries: what the tests' messages are made of may stand in no log line, no metric and no span of ours.

Whoever reads what a process of ours wrote hands it over (``see``, ``read``). What is found in it fails the test during
which it was found (``tests.support.leak_check``), and an experiment of ``tests/faults``.
"""

import re
from pathlib import Path
from typing import Final

CHAT: Final = "471100815"
"""A chat of a bot's: a number that nothing else has."""

# Each begins with what is rare, so that looking through a megabyte takes milliseconds.
_CANARIES: Final = re.compile(
    r"(?P<address>(?:@|%40)(?:[\w-]+\.)*example\b)"
    r"|(?P<key>wr_(?:live|test)_\w)"
    r"|(?P<secret>whsec_\w|Vn5sCq0mY3fXo7Jt1LbR9wKzEuDh2GpA4iTyS6xNkQc=)"
    r"|(?P<bot>:not-a-real-token)"
    rf"|(?P<chat>{CHAT}|\b123456789\b)"
    r"|(?P<words>Good morning)"
    r"|(?P<token>/(?:t/[cop]|u)/[\w-]{16}|\b(?:token|auth|p256dh)=[\w-]{8})"
    r"|(?P<hook>/hooks/[a-z-]+/[\w-]{16})"
    r"|(?P<endpoint>://[^/\s\"]+/(?:hook|push|in)\b|://[\w.-]+\.example\b)"
)
_ID: Final = re.compile(r"(?P<id>\b[a-z]{2,4}_[0-9a-hjkmnp-tv-z]{26}\b)")
_SHOWN: Final = 300

_found: list[str] = []


def leaks(source: str, text: str, *, ids_too: bool = False) -> list[str]:
    """Each line of ``text`` that holds a canary, with what it holds; ``ids_too``: no id of ours may be there either."""
    lines: list[str] = []
    for pattern in (_CANARIES, _ID) if ids_too else (_CANARIES,):
        for match in pattern.finditer(text):
            begin = text.rfind("\n", 0, match.start()) + 1
            line = text[max(begin, match.start() - _SHOWN) :].partition("\n")[0][: 2 * _SHOWN]
            lines.append(f"{source}: {match.lastgroup}: {line}")
    return lines


def see(source: str, text: str, *, ids_too: bool = False) -> None:
    """Look through what a part of ours wrote."""
    _found.extend(leaks(source, text, ids_too=ids_too))


def read(path: Path) -> None:
    """Look through a log."""
    see(path.name, path.read_text(errors="replace"))


def take() -> list[str]:
    """What was found since this was asked last."""
    found = list(dict.fromkeys(_found))
    _found.clear()
    return found
