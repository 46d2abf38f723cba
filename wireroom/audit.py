"""``wireroom audit``: who changed what, in all workspaces and beside them, for who runs the house."""

import asyncio
import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.audit import Action, Ending
from wireroom import moments, options, output

if TYPE_CHECKING:
    from models.store.audit import EntryFilter


def run(
    workspace: Annotated[str | None, typer.Option(help="Only this workspace, by name or id.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only theirs: usr_…, key_…, command or nobody.")] = None,
    action: Annotated[Action | None, typer.Option(help="Only this.")] = None,
    outcome: Annotated[Ending | None, typer.Option(help="Only what ended so.")] = None,
    object_id: Annotated[str | None, typer.Option("--object", help="Only what was done to this, by its id.")] = None,
    since: Annotated[str | None, typer.Option(help="45m, 12h, 30d or 2w ago, a date as 2030-01-31, or a time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest, so many.")] = 50,
    as_json: options.AsJson = False,
) -> None:
    """Show who changed what, the newest last. It reads the database itself, strangers' failed sign-ins too."""
    wanted = _filter(actor, action, outcome, object_id, since)
    url = output.database_url()
    entries, total = asyncio.run(_read(url, workspace, wanted, limit))
    if as_json:
        typer.echo(json.dumps({"data": entries, "total": total}))
        return
    for entry in reversed(entries):
        typer.echo(line(entry))


def _filter(
    actor: str | None, action: Action | None, outcome: Ending | None, object_id: str | None, since: str | None
) -> "EntryFilter":
    """What is asked for; raises BadParameter."""
    from models import audit  # noqa: PLC0415 - see cli.py
    from models.store.audit import EntryFilter  # noqa: PLC0415 - see cli.py

    by = None if actor is None else audit.actor(actor)
    about = None if object_id is None else audit.thing(object_id)
    if actor is not None and by is None:
        raise typer.BadParameter("is neither usr_…, key_…, command nor nobody", param_hint="--actor")
    if object_id is not None and about is None:
        raise typer.BadParameter("is no id", param_hint="--object")
    try:
        moment = None if since is None else moments.before(since, time.time_ns() // 1_000_000)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None
    return EntryFilter(actor=by, action=action, ending=outcome, thing=about, since=moment)


async def _read(url: str, workspace: str | None, wanted: "EntryFilter", limit: int) -> tuple[list[dict[str, Any]], int]:
    """The entries as they are shown, the newest first, and how many there are."""
    from models import ids  # noqa: PLC0415 - see cli.py
    from models.store import audit  # noqa: PLC0415 - see cli.py
    from models.timestamps import show  # noqa: PLC0415 - see cli.py
    from wireroom import accounts  # noqa: PLC0415 - see cli.py

    async with accounts.opened(url) as database, database.read() as connection:
        if workspace is None:
            rows, total = await audit.house_page(connection, wanted, limit=limit)
        else:
            own = (await accounts.workspace_of(connection, workspace)).id
            rows, total = await audit.page(connection, own, wanted, limit=limit, offset=0)
    shown = [
        {
            "id": ids.show(ids.Kind.AUDIT_ENTRY, row.id),
            "at": show(row.at),
            "workspace": None if row.workspace_id is None else ids.show(ids.Kind.WORKSPACE, row.workspace_id),
            "actor": row.actor.shown(),
            "action": row.action.value,
            "outcome": row.ending.value,
            "objectId": None if row.thing is None else row.thing.shown(),
            "details": row.details,
            "requestId": row.request_id,
        }
        for row in rows
    ]
    return shown, total


def line(entry: dict[str, Any]) -> str:
    """An entry on one line."""
    details = " ".join(
        f"{name}={','.join(value) if isinstance(value, list) else value}" for name, value in entry["details"].items()
    )
    parts = (entry["at"], entry["workspace"] or "-", entry["actor"], entry["action"], entry["outcome"])
    return "  ".join([*parts, entry["objectId"] or "-", *([details] if details else [])])
