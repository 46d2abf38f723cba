"""``wireroom reseal``: after a new secret key was put first, seal everything by it, so that the old one may go."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.settings import StorageSettings
from wireroom import options, output

if TYPE_CHECKING:
    from models.resealing import Tally
    from models.secrets import Keyring
    from models.session import Database


def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what older keys have sealed.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Seal every secret anew by the first key of WIREROOM_SECRET_KEY. Safe to interrupt and to repeat."""
    from models import logs  # noqa: PLC0415 - see cli.py

    output.database_url()
    storage = StorageSettings.read()
    logs.configure(storage.log_level, storage.log_format)
    tallies = asyncio.run(_reseal(storage, dry_run=dry_run, quiet=as_json))
    lost = sum(each.lost for each in tallies)
    output.show(report(tallies), told(tallies, dry_run=dry_run), as_json=as_json)
    raise typer.Exit(1 if lost else 0)


async def _reseal(storage: StorageSettings, *, dry_run: bool, quiet: bool) -> "list[Tally]":
    from models.secrets import load_keyring  # noqa: PLC0415 - see cli.py
    from models.store import sealed  # noqa: PLC0415 - see cli.py
    from wireroom import accounts  # noqa: PLC0415 - see cli.py

    async with accounts.opened(storage.database_url) as database:
        keyring = await load_keyring(database, storage)
        if quiet:
            return await _all(database, keyring, dry_run=dry_run, advance=lambda _: None)
        async with database.read() as connection:
            total = sum([await sealed.number(connection, place) for place in sealed.EVERYTHING])
        from rich.progress import Progress  # noqa: PLC0415 - it is only for people

        with Progress(console=output.console(stderr=True), transient=True) as progress:
            task = progress.add_task("looking" if dry_run else "sealing anew", total=total)
            return await _all(database, keyring, dry_run=dry_run, advance=lambda rows: progress.advance(task, rows))


async def _all(
    database: "Database", keyring: "Keyring", *, dry_run: bool, advance: Callable[[int], None]
) -> "list[Tally]":
    """Do it, and say so in the audit log."""
    from models.audit import COMMAND, Action, Details  # noqa: PLC0415 - see cli.py
    from models.resealing import reseal  # noqa: PLC0415 - see cli.py
    from models.store import audit  # noqa: PLC0415 - see cli.py

    tallies = await reseal(database, keyring, dry_run=dry_run, advance=advance)
    if not dry_run:
        details: Details = {
            "resealed": sum(each.resealed for each in tallies),
            "lost": sum(each.lost for each in tallies),
        }
        async with database.write() as connection:
            await audit.add(connection, audit.NewEntry(None, COMMAND, Action.SECRETS_RESEAL, details=details))
    return tallies


def report(tallies: "list[Tally]") -> dict[str, Any]:
    """The same for programs."""
    tables = {
        each.table: {"newest": each.newest, "older": each.older, "resealed": each.resealed, "lost": each.lost}
        for each in tallies
    }
    sums = {name: sum(each[name] for each in tables.values()) for name in ("newest", "older", "resealed", "lost")}
    return sums | {"tables": tables}


def told(tallies: "list[Tally]", *, dry_run: bool) -> str:
    """What there is to say of it."""
    sums = report(tallies)
    left = sums["older"] - sums["resealed"]
    lines = [f"{sums['newest']:,} sealed by the newest key, {sums['older']:,} by older ones."]
    if not dry_run:
        lines.append(f"{sums['resealed']:,} sealed anew.")
    if left and not dry_run:
        lines.append(f"{left:,} were changed meanwhile: run it again.")
    lines += [
        f"{each.table}: {each.lost:,} open by no key of WIREROOM_SECRET_KEY; add the one that sealed them, or give "
        "them anew"
        for each in tallies
        if each.lost
    ]
    if not left and not sums["lost"]:
        lines.append("The older keys may go, once every process runs with the new one first.")
    return "\n".join(lines)
