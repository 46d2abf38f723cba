"""What every command does alike: how it prints, and where it finds the database."""

import json
from typing import TYPE_CHECKING, Any, Final

import typer

from models.settings import StorageSettings
from wireroom import data_dir

if TYPE_CHECKING:
    from rich.console import Console

_ENDLESS: Final = 10_000
"""Columns of what is no terminal: a file or a pipe takes lines as long as they are."""


def show(data: dict[str, Any], plain: str, *, as_json: bool) -> None:
    """Print ``data`` as one line of JSON, or ``plain``."""
    typer.echo(json.dumps(data) if as_json else plain)


def printable(text: str) -> str:
    """The text without what a terminal would obey: a server's words may hold anything."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def console(*, stderr: bool = False) -> "Console":
    """A console on standard output, or standard error; lines are broken for a terminal alone."""
    from rich.console import Console  # noqa: PLC0415 - most commands print a line, and need not load it

    made = Console(stderr=stderr)
    return made if made.is_terminal else Console(stderr=stderr, width=_ENDLESS)


def database_url() -> str:
    """Where the database is; raises InvalidSetting where it lies in a data directory that cannot be used."""
    storage = StorageSettings.read()
    if str(storage.data_dir) in storage.database_url:
        data_dir.check(storage.data_dir)
    return storage.database_url
