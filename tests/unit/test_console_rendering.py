"""How the console writes what it shows, and that its scripts make nothing of text."""

import re

import pytest
from jinja2 import UndefinedError

from api_shim.console import rendering, words


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (0, "0 s"),
        (999, "0 s"),
        (59_999, "59 s"),
        (61_000, "1 min 1 s"),
        (3_600_000, "1 h"),
        (7_500_000, "2 h 5 min"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_durations_are_told_in_two_units(milliseconds: int, shown: str) -> None:
    assert rendering.duration(milliseconds) == shown


def test_numbers_times_and_words_are_for_people() -> None:
    assert rendering.number(1_234_567) == "1,234,567"
    assert rendering.moment("2026-01-15T10:00:00.123Z") == "2026-01-15 10:00:00"
    told = "It was given up at 2026-01-15T10:00:00.123Z: mailbox full."
    assert rendering.moments(told) == "It was given up at 2026-01-15 10:00:00: mailbox full."
    assert words.spaced("mailbox_full") == "mailbox full"
    assert words.plain("expected `str` of length >= 3") == "at least 3 characters"
    assert words.plain("expected `str`, got `int`") == "has the wrong form"
    assert rendering.pretty({"a": [1]}) == '{\n  "a": [\n    1\n  ]\n}'


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        rendering.render("problem.html", {})


def test_scripts_use_nothing_that_makes_elements_or_code_of_text() -> None:
    forbidden = rb"innerHTML|outerHTML|insertAdjacentHTML|setHTML|document\.write|\beval\b|Function\(|srcdoc|DOMParser"
    scripts = {name: file.content for name, file in rendering.files().items() if name.endswith(".js")}
    assert scripts
    assert [name for name, content in scripts.items() if re.search(forbidden, content)] == []
