"""What is written as CSV is read again as it was, and no spreadsheet calculates it."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_shim import csv_cells

# NUL is in no CSV, and a lone CR is a line end to whoever reads one.
CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1) | st.sampled_from(
    ["=1+1", "+tag@example.org", "-1", "@SUM(A1)", "'=1", "''=1", "'", "''", "\t=1", "\r\n=1", 'a"b', "a,b", "a\nb"]
)


@given(st.lists(CELLS, min_size=1, max_size=5))
def test_what_is_written_is_read_again(cells: list[str]) -> None:
    names = [f"column {number}" for number in range(len(cells))]
    text = (csv_cells.line(names) + csv_cells.line(cells)).decode()
    ((_, found),) = csv_cells.rows(text)
    assert found == dict(zip(names, cells, strict=True))


@given(CELLS)
def test_no_cell_is_a_formula(cell: str) -> None:
    ((shown,),) = csv.reader(io.StringIO(csv_cells.line([cell]).decode(), newline=""))
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@pytest.mark.parametrize(
    "cell", ["\uff1d1", "\uff0b1", "\uff0d1", "\uff20SUM(A1)", " =1", "\xa0=1", "\u200b=1", "\x0b=1"]
)
def test_wide_signs_and_blanks_before_a_sign_hide_no_formula(cell: str) -> None:
    assert csv_cells.guarded(cell) == f"'{cell}"
    assert csv_cells.unguarded(csv_cells.guarded(cell)) == cell


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1"),
        (",,\n", "line 1"),
        ("a,a\n", "line 1"),
        (",".join(f"c{n}" for n in range(51)), "line 1"),
        ("a,b\n1,2\n1,2,3\n", "line 3"),
        ('a,b\n1,"2\n', "line 2"),
        ('a,b\n1,"2"3\n', "line 2"),
    ],
)
def test_what_is_no_table_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=rf"\A{said}: "):
        list(csv_cells.rows(text))


def test_empty_lines_and_short_ones_are_none() -> None:
    assert list(csv_cells.rows("a,b\n\n1\n,\n,2\n")) == [(3, {"a": "1"}), (5, {"b": "2"})]
