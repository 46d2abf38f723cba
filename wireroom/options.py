"""The options that commands have alike, and the client of the API that they describe."""

from typing import TYPE_CHECKING, Annotated

import typer

from wireroom.settings import ClientSettings

if TYPE_CHECKING:
    from wireroom.api import Client

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WorkspaceOption = Annotated[str | None, typer.Option(help="ws_…; default WIREROOM_WORKSPACE.")]
TokenOption = Annotated[str | None, typer.Option(help="Default WIREROOM_TOKEN.")]
UrlOption = Annotated[str | None, typer.Option(help="Default WIREROOM_PUBLIC_URL, else http://WIREROOM_BIND.")]


def client(workspace: str | None, token: str | None, url: str | None, *, tries: int = 1) -> "Client":
    """A client of the API, as the options say or else the environment."""
    from wireroom.api import Client  # noqa: PLC0415 - a web client's library costs a quarter of a second

    settings = ClientSettings.read()
    workspace, token = workspace or settings.workspace, token or settings.token
    if not workspace or not token:
        raise typer.BadParameter("--workspace and --token, or WIREROOM_WORKSPACE and WIREROOM_TOKEN, are needed")
    return Client(url or settings.url, workspace, token, tries=tries)
