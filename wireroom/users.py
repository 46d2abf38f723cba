"""``wireroom user``: people who may sign in, made by whoever may open the database: the first ones above all."""

import asyncio
import secrets
import sys
from typing import Annotated, Final

import typer

from models.vocabulary import Role
from wireroom import output

app = typer.Typer(help="People who may sign in.", no_args_is_help=True)

_RANDOM_BYTES: Final = 18  # 144 bits, as 24 characters

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@app.command("create")
def create(
    email: str,
    workspace: Annotated[str, typer.Option(help="The workspace's name or id.")],
    role: Annotated[Role, typer.Option(help="What they are in the workspace.")] = Role.ADMIN,
    password_stdin: FromStdin = False,
    as_json: AsJson = False,
) -> None:
    """Let a person sign in to a workspace, and print their id. Without a password one is asked for, or made and shown.

    Who has an account already joins the workspace with it, and keeps the password.
    """
    from wireroom import user_accounts  # noqa: PLC0415 - a database's library costs a quarter of a second

    url = output.database_url()
    if password_stdin:
        password = _read_password()
        user_id, is_new = asyncio.run(user_accounts.create(url, email, workspace, role, password)), True
    else:
        user_id, is_new = asyncio.run(user_accounts.create_or_join(url, email, workspace, role, _ask))
    if not is_new:
        typer.echo("The account exists: it joins the workspace, its password stays.", err=True)
    output.show({"id": user_id, "role": role.value, "new": is_new}, user_id, as_json=as_json)


@app.command("password")
def set_password(email: str, password_stdin: FromStdin = False, as_json: AsJson = False) -> None:
    """Set a new password for a person who has forgotten theirs: all their sessions end, and no pause stays."""
    from wireroom import user_accounts  # noqa: PLC0415 - see above

    password = _read_password if password_stdin else _ask
    user_id = asyncio.run(user_accounts.set_password(output.database_url(), email, password))
    output.show({"id": user_id}, user_id, as_json=as_json)


def _read_password() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _ask() -> str:
    """A password from the terminal; where there is none, a new one, shown once on standard error."""
    if sys.stdin.isatty():
        asked: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    made = secrets.token_urlsafe(_RANDOM_BYTES)
    typer.echo(f"The password, shown only now: {made}", err=True)
    return made
