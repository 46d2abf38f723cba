"""What every command does alike: how it prints, and where it finds the database."""

import json
from typing import Any

import typer

from models.settings import StorageSettings
from wireroom import data_dir


def show(data: dict[str, Any], plain: str, *, as_json: bool) -> None:
    """Print ``data`` as one line of JSON, or ``plain``."""
    typer.echo(json.dumps(data) if as_json else plain)


def database_url() -> str:
    """Where the database is; raises InvalidSetting where it lies in a data directory that cannot be used."""
    storage = StorageSettings.read()
    if str(storage.data_dir) in storage.database_url:
        data_dir.check(storage.data_dir)
    return storage.database_url
