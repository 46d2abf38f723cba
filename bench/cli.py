"""The command line of ``wireroom bench``. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from bench.rows import IDS, ROWS
from bench.run import Options, run
from bench.stage import Size
from models.errors import WireroomError

_NAME: Final = "wireroom bench"
_PAIRS: Final = 5
_MESSAGES: Final = 10_000
_ROWS: Final = 1_000_000
_QUICK_PAIRS: Final = 3
_QUICK_MESSAGES: Final = 3_000

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def main(arguments: Sequence[str]) -> None:
    """Run the command line; what goes wrong on purpose is one line on standard error and exit code 1."""
    try:
        app(arguments, prog_name=_NAME)
    except WireroomError as error:
        sys.stderr.write(f"{_NAME}: {error}\n")
        sys.exit(1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write(f"{_NAME}: interrupted\n")
        sys.exit(130)


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer pairs of fewer messages.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    svg_file: Annotated[Path | None, typer.Option("--svg", help="Draw the figures into this file.")] = None,
    pairs: Annotated[int | None, typer.Option(min=1, max=50, help=f"Default {_PAIRS}; quick: {_QUICK_PAIRS}.")] = None,
    messages: Annotated[
        int | None, typer.Option(min=1, max=200_000, help=f"Per run; default {_MESSAGES}; quick: {_QUICK_MESSAGES}.")
    ] = None,
    rows: Annotated[
        int, typer.Option(min=10_000, max=100_000_000, help="In the database of email/growth that has many.")
    ] = _ROWS,
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(IDS)}; may be repeated.")] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Then show where the worker's time goes.")] = False,
) -> None:
    """The whole pipeline against bare clients and against peers, on this machine, now: ratios of one run."""
    if unknown := set(only or ()) - set(IDS):
        raise typer.BadParameter(f"no row {', '.join(sorted(unknown))}", param_hint="--only")
    wanted = frozenset(only or (row_id for row in ROWS if row.quick or not quick for row_id in row.ids))
    options = Options(
        rows=[row for row in ROWS if wanted & set(row.ids)],
        ids=wanted,
        size=Size(
            pairs=pairs or (_QUICK_PAIRS if quick else _PAIRS),
            messages=messages or (_QUICK_MESSAGES if quick else _MESSAGES),
            rows=rows,
        ),
        json_file=json_file,
        svg_file=svg_file,
        profile=profile,
    )
    finished = run(options, Console(stderr=False))
    if any(row.failed for row in finished.rows) or all(row.left_out for row in finished.rows):
        raise typer.Exit(1)
