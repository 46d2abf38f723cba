"""The command line of ``wireroom bench``. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from bench import ingest
from bench.rows import ROWS
from bench.run import Options, run
from models.errors import WireroomError

_NAME: Final = "wireroom bench"
_PAIRS: Final = 5
_MESSAGES: Final = 10_000
_QUICK_PAIRS: Final = 3
_QUICK_MESSAGES: Final = 3_000
_IDS: Final = (*(row.id for row in ROWS), *ingest.IDS)

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
    pairs: Annotated[int | None, typer.Option(min=1, max=50, help=f"Default {_PAIRS}; quick: {_QUICK_PAIRS}.")] = None,
    messages: Annotated[
        int | None, typer.Option(min=1, max=200_000, help=f"Per run; default {_MESSAGES}; quick: {_QUICK_MESSAGES}.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(_IDS)}; may be repeated.")] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Then show where the worker's time goes.")] = False,
) -> None:
    """The whole pipeline against bare client loops, on this machine, now: ratios of one run."""
    if unknown := set(only or ()) - set(_IDS):
        raise typer.BadParameter(f"no row {', '.join(sorted(unknown))}", param_hint="--only")
    options = Options(
        rows=[row for row in ROWS if not only or row.id in only],
        ingest=not only or bool(set(only) & set(ingest.IDS)),
        pairs=pairs or (_QUICK_PAIRS if quick else _PAIRS),
        messages=messages or (_QUICK_MESSAGES if quick else _MESSAGES),
        json_file=json_file,
        profile=profile,
    )
    run(options, Console(stderr=False))
