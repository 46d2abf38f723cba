"""The command ``wireroom``. Exit codes: 0 done, 1 failed, 2 wrong usage.

Each command loads what it needs and no more, once it is known that the settings can be used: a database's or a web
client's library costs a quarter of a second.
"""

from models import light_start

light_start.begin()

import asyncio
import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from models.errors import WireroomError
from models.settings import StorageSettings
from models.vocabulary import Channel, Scope
from wireroom import audit, data_dir, replay, reseal, send_file, users, watch
from wireroom.options import AsJson, TokenOption, UrlOption, WorkspaceOption
from wireroom.options import client as _client
from wireroom.output import database_url as _database_url
from wireroom.output import printable
from wireroom.output import show as _print
from wireroom.settings import child_environment

if TYPE_CHECKING:
    from wireroom.api import Client

_HELP: Final = (
    "Self-hosted message dispatch by email, web push, Telegram, inbox and webhook, with a status that never lies."
)

app = typer.Typer(help=_HELP, no_args_is_help=True, pretty_exceptions_enable=False)
workspace_app = typer.Typer(help="Workspaces.", no_args_is_help=True)
token_app = typer.Typer(help="API tokens.", no_args_is_help=True)
app.add_typer(workspace_app, name="workspace")
app.add_typer(token_app, name="token")
app.add_typer(users.app, name="user")
app.command("audit")(audit.run)
app.command("replay")(replay.run)
app.command("reseal")(reseal.run)
app.command("send-file")(send_file.run)
app.command("watch")(watch.run)


def main() -> None:
    """Run the command line; what is not our fault is one line on standard error and exit code 1."""
    try:
        app(prog_name="wireroom")
    except Exception as error:
        from wireroom import database_faults  # noqa: PLC0415 - see the top

        # What a database refuses is raised by its driver, which no command but those that use it loads.
        known = database_faults.refusal(error) or error
        if not isinstance(known, WireroomError):
            raise
        _fail(known)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wireroom {version('wireroom')}")
        raise typer.Exit


@app.callback()
def begin(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """See the commands."""


@app.command("up")
def run_up(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    bulk_workers: Annotated[
        int,
        typer.Option(min=0, max=64, help="More of them, for bulk alone, so that no campaign slows people's messages."),
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Run everything in one terminal: broker, API, workers, keeper. Ctrl-C finishes what is being sent and stops."""
    from models import logs  # noqa: PLC0415 - see the top
    from wireroom import up  # noqa: PLC0415 - see the top

    settings = StorageSettings.read()
    logs.configure(settings.log_level, settings.log_format)
    environment = child_environment()
    if sys.stderr.isatty():  # a worker cannot see that itself: dramatiq puts a pipe in between
        environment.setdefault("WIREROOM_LOG_FORMAT", "console")
    raise typer.Exit(up.run(environment, workers=workers, bulk_workers=bulk_workers, as_json=as_json))


@app.command("demo")
def run_demo(
    folder: Annotated[Path | None, typer.Option("--dir", help="An empty folder to keep the data in.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End when everything arrived: 0, else 1.")] = False,
    as_json: AsJson = False,
) -> None:
    """See the main job: a fresh Wireroom, local sinks, real messages, and a live table of their way."""
    try:
        from wireroom import demo  # noqa: PLC0415 - see the top
    except KeyboardInterrupt:  # that takes a second, in which somebody may change their mind
        typer.echo("Stopped.", err=as_json)
        raise typer.Exit(1 if once else 0) from None
    raise typer.Exit(demo.run(demo.Options(folder, once=once, as_json=as_json)))


@app.command("migrate")
def run_migrate(as_json: AsJson = False) -> None:
    """Bring the database to this version's schema."""
    settings = StorageSettings.read()
    data_dir.make(settings.data_dir)
    from models import migrate  # noqa: PLC0415 - see the top

    migrate.upgrade(settings.database_url)
    revision = migrate.head()
    _print({"revision": revision}, f"The schema is at {revision}.", as_json=as_json)


@app.command("recount")
def run_recount(
    check: Annotated[bool, typer.Option("--check", help="Mend nothing; end 1 where a count is wrong.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the counts behind every list's total with the messages themselves, and mend what is wrong."""
    url = _database_url()
    from wireroom import recount  # noqa: PLC0415 - see the top

    wrong = asyncio.run(recount.differing(url) if check else recount.mend(url))
    _print(recount.report(wrong, check=check), recount.sentence(wrong, check=check), as_json=as_json)
    raise typer.Exit(1 if wrong and check else 0)


@app.command("doctor")
def run_doctor(as_json: AsJson = False) -> None:
    """Check every configured part, and say how to mend what is wrong."""
    from wireroom import doctor  # noqa: PLC0415 - see the top

    findings = asyncio.run(doctor.examine(child_environment()))
    if as_json:
        typer.echo(json.dumps({"ok": all(one.ok for one in findings), "findings": [asdict(one) for one in findings]}))
    else:
        doctor.show(findings)
    raise typer.Exit(0 if all(one.ok for one in findings) else 1)


@workspace_app.command("create")
def create_workspace(name: str, as_json: AsJson = False) -> None:
    """Make a workspace and print its id."""
    url = _database_url()
    from wireroom import accounts  # noqa: PLC0415 - see the top

    shown = asyncio.run(accounts.create_workspace(url, name))
    _print({"id": shown, "name": name}, shown, as_json=as_json)


@workspace_app.command("list")
def list_workspaces(as_json: AsJson = False) -> None:
    """Print the id and the name of every workspace."""
    url = _database_url()
    from wireroom import accounts  # noqa: PLC0415 - see the top

    found = asyncio.run(accounts.list_workspaces(url))
    if as_json:
        typer.echo(json.dumps({"data": [{"id": shown, "name": name} for shown, name in found]}))
    else:
        for shown, name in found:
            typer.echo(f"{shown}  {name}")


@token_app.command("create")
def create_token(
    workspace: Annotated[str, typer.Option(help="The workspace's name or id.")],
    scope: Annotated[
        list[Scope] | None, typer.Option(help="May be given several times. Default: all but essential.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="30d, 12h, 2w, or a date as 2030-01-31. Default: never.")] = None,
    test: Annotated[
        bool, typer.Option("--test", help="For the workspace's sandbox: nothing that it sends leaves the house.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it. It is shown only now."""
    url = _database_url()
    from wireroom import accounts  # noqa: PLC0415 - see the top

    try:
        expires_at = None if expires is None else accounts.expiry(expires)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--expires") from None
    scopes = frozenset(scope or accounts.DEFAULT_SCOPES)
    made = accounts.create_token(url, workspace, scopes=scopes, expires_at=expires_at, test=test)
    key, secret = asyncio.run(made)
    _print({"id": key, "token": secret, "scopes": sorted(scopes), "test": test}, secret, as_json=as_json)


@app.command("send")
def send(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
    contact: Annotated[str | None, typer.Option(help="The contact's id, ct_….")] = None,
    to: Annotated[str | None, typer.Option(help="A mail address; without --contact its contact is made.")] = None,
    channel: Annotated[
        Channel, typer.Option(case_sensitive=False, help="EMAIL and TELEGRAM need a sender: see `wireroom doctor`.")
    ] = Channel.EMAIL,
    subject: Annotated[str | None, typer.Option()] = None,
    body: Annotated[str | None, typer.Option(help="The text, or - to read it from standard input.")] = None,
    workspace: WorkspaceOption = None,
    token: TokenOption = None,
    url: UrlOption = None,
    as_json: AsJson = False,
) -> None:
    """Send one message through the API and print its id."""
    client = _client(workspace, token, url)
    if contact is None and (to is None or channel is not Channel.EMAIL):
        raise typer.BadParameter("--contact is needed; for EMAIL, --to alone will do")
    request = {"channel": channel.value, "subject": subject, "body": sys.stdin.read() if body == "-" else body}
    given = {name: value for name, value in request.items() if value is not None}
    message = asyncio.run(_send(client, given, contact, to))
    _print(message, str(message["id"]), as_json=as_json)


async def _send(client: "Client", request: dict[str, str], contact: str | None, to: str | None) -> dict[str, Any]:
    async with client:
        if contact is None and to is not None:
            request["contactId"] = await client.contact_for(to)
        else:
            request |= {"contactId": contact or ""} | ({} if to is None else {"to": to})
        message: dict[str, Any] = await client.post("/messages", request)
        return message


@app.command("why")
def run_why(
    message: Annotated[str, typer.Argument(help="The message's id, msg_….")],
    workspace: WorkspaceOption = None,
    token: TokenOption = None,
    url: UrlOption = None,
    as_json: AsJson = False,
) -> None:
    """Say what holds a message: its gate, its place, its next attempt, its last error."""
    from wireroom import why  # noqa: PLC0415 - see the top

    answer = asyncio.run(why.ask(_client(workspace, token, url), message))
    _print(answer, why.told(answer), as_json=as_json)


# Its options are the bench's own, which are not loaded for other commands.
@app.command(
    "bench", add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def run_bench(context: typer.Context) -> None:
    """Measure the whole pipeline against bare clients, here and now: ratios of one run."""
    from bench.errors import not_installed  # noqa: PLC0415 - see the top

    try:
        from bench import cli  # noqa: PLC0415 - see the top
    except ModuleNotFoundError as error:
        raise not_installed(str(error.name)) from None
    cli.main(context.args)


def _fail(error: WireroomError) -> NoReturn:
    said = printable(str(error))
    if "--json" in sys.argv:
        typer.echo(json.dumps({"error": said}))
    typer.echo(f"wireroom: {said}", err=True)
    sys.exit(1)
