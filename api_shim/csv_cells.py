"""Tables of text as spreadsheets read and write them (RFC 4180), and no cell of them a formula.

A cell that a spreadsheet would calculate gets an apostrophe before it, as spreadsheets themselves write text; reading
takes it off again, so that what was written is what is read.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

_TEXT: Final = "'"
# What spreadsheets calculate: also in the wide forms of East Asia, and behind blanks, which some of them take off.
_FORMULA: Final = re.compile(r"'*(?:[\t\r\n]|[\s\u200b\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20])")
MOST_COLUMNS: Final = 50


def _is_formula(cell: str) -> bool:
    return _FORMULA.match(cell) is not None


def guarded(cell: str) -> str:
    """The cell as text, whatever it begins with."""
    return _TEXT + cell if _is_formula(cell) else cell


def unguarded(cell: str) -> str:
    """What ``guarded`` was given."""
    return cell[1:] if cell.startswith(_TEXT) and _is_formula(cell) else cell


def line(cells: Sequence[str | None]) -> bytes:
    """One line of the table; None is an empty cell."""
    written = io.StringIO()
    csv.writer(written).writerow(["" if cell is None else guarded(cell) for cell in cells])
    return written.getvalue().encode()


def rows(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The line that each row ends on, from 1, and its cells that are not empty, by the names of the first row.

    Raises ValueError with what is wrong and where: no names, one name twice, too many cells, quotes that do not end.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        if not any(names) or len(names) > MOST_COLUMNS:
            raise ValueError("line 1: the names of the columns are expected")
        if len(set(names)) < len(names):
            raise ValueError("line 1: two columns have the same name")
        for cells in reader:
            if len(cells) > len(names):
                raise ValueError(f"line {reader.line_num}: more cells than columns")
            if any(cells):
                found = {name: unguarded(cell) for name, cell in zip(names, cells, strict=False) if cell}
                yield reader.line_num, found
    except csv.Error:
        raise ValueError(f"line {reader.line_num}: quotes or line ends are not as in RFC 4180") from None
