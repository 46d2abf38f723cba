"""The widget's script as it lies in the package: nothing builds it."""

import gzip
import re
from importlib import resources

SCRIPT = resources.files("api_shim").joinpath("static", "widget.js").read_bytes()


def test_it_is_smaller_than_15_kilobytes() -> None:
    assert len(gzip.compress(SCRIPT)) < 15_000


def test_it_uses_nothing_that_makes_elements_or_code_of_text() -> None:
    used = re.findall(
        rb"innerHTML|outerHTML|insertAdjacentHTML|setHTML|document\.write|\beval\b|Function\(|srcdoc", SCRIPT
    )
    assert used == []
