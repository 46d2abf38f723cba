"""``python -m bench.floors.echo_server PORT``: the API's own server, with nothing behind it.

It takes the same requests, reads their JSON and answers it; there is no key to know, no rule to keep and no database.
"""

import socket
import sys

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api_shim.app import server_config
from api_shim.settings import ApiSettings


async def _echo(request: Request) -> Response:
    message = msgspec.json.decode(await request.body())
    return Response(msgspec.json.encode(message), media_type="application/json")


class _Server(uvicorn.Server):
    """Says when it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        sys.stdout.write("ready\n")
        sys.stdout.flush()


def main(port: int) -> None:
    """Serve until SIGTERM."""
    app = Starlette(routes=[Route("/api/workspaces/{workspace}/messages", _echo, methods=["POST"])])
    _Server(server_config(app, ApiSettings("127.0.0.1", port, f"http://127.0.0.1:{port}"))).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
