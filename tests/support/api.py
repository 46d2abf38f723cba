"""The HTTP server on a free port, a workspace in it, and a client that holds its key."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import uvicorn

from api_shim.app import create_app, server_config
from api_shim.settings import ApiSettings
from api_shim.sns_peer import Fetch
from models import ids
from models.ids import Kind
from models.secrets import new_token
from models.session import Database
from models.store import keys, workspaces
from models.store.keys import TOKEN_PREFIX
from models.vocabulary import Scope
from tests.support.no_tls import NO_TLS
from tests.support.scene import channel_settings, storage_settings
from tests.support.waiting import wait_until

EVERYTHING = frozenset(Scope)
_TICK_S: Final = 0.1


class Tenant:
    """A workspace and a client with one of its keys; paths are below the workspace."""

    def __init__(self, url: str, workspace: str, token: str) -> None:
        self.workspace = workspace
        self.token = token
        self.root = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False, verify=NO_TLS
        )

    async def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Any request below the workspace."""
        return await self.root.request(method, f"/api/workspaces/{self.workspace}{path}", **request)

    async def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET that must succeed."""
        answer = await self.call("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, status: int = 201) -> Any:
        """The JSON that answers a POST, whose status must be ``status``."""
        answer = await self.call("POST", path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def contact(self, **fields: Any) -> str:
        """The id of a new contact with a mail address."""
        return str((await self.post("/contacts", {"email": "ann@example.org", "firstName": "Ann"} | fields))["id"])

    async def send(self, contact_id: str, **fields: Any) -> Any:
        """A short mail to a contact, accepted."""
        body = {"contactId": contact_id, "channel": "EMAIL", "subject": "Hello", "body": "Good morning"}
        return await self.post("/messages", body | fields, 200)


class Api:
    """A running server."""

    def __init__(self, url: str, database_url: str) -> None:
        self.url = url
        self._database_url = database_url
        self._tenants: list[Tenant] = []

    async def tenant(self, scopes: Collection[Scope] = EVERYTHING, *, of: Tenant | None = None, **key: Any) -> Tenant:
        """A client for a new workspace, or for that of another tenant."""
        token, digest = new_token(TOKEN_PREFIX)
        database = Database.connect(self._database_url, pool_size=1)
        try:
            async with database.write() as connection:
                if of is None:
                    workspace_id = (await workspaces.create(connection, f"workspace {ids.new_id()}")).id
                else:
                    found = ids.parse(Kind.WORKSPACE, of.workspace)
                    assert found is not None
                    workspace_id = found
                values = {"name": "test", "hint": token[-4:], "expires_at": None} | key
                await keys.create(connection, workspace_id, digest=digest, scopes=scopes, **values)
        finally:
            await database.close()
        tenant = Tenant(self.url, ids.show(Kind.WORKSPACE, workspace_id), token)
        self._tenants.append(tenant)
        return tenant

    async def close(self) -> None:
        """Close the clients."""
        for tenant in self._tenants:
            await tenant.root.aclose()


class _Server(uvicorn.Server):
    """Ends as soon as it is told to, where no client is left; the usual one waits for a tenth of a second and more.

    That is what most tests take.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()
        self._serves = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        self._serves.set()

    async def serves(self) -> None:
        """Return once it does."""
        await self._serves.wait()

    def tell_to_end(self) -> None:
        """From now on nothing new is taken."""
        self.should_exit = True
        self._told.set()

    async def main_loop(self) -> None:
        """Do each tick's work until it is told to end."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), _TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is in flight, if anything is, and all that goes on behind it."""
        with contextlib.suppress(AssertionError):
            await wait_until(self._is_alone, timeout=_TICK_S, interval=0.001)
        if not self._is_alone():
            await super().shutdown(sockets)
            return
        for listening in self.servers:
            listening.close()
        await self.lifespan.shutdown()

    def _is_alone(self) -> bool:
        return not self.server_state.connections and not self.server_state.tasks


@asynccontextmanager
async def serving(
    folder: Path,
    database_url: str,
    redis_url: str,
    *,
    telegram_url: str | None = None,
    fetch: Fetch | None = None,
    **environment: str,
) -> AsyncIterator[Api]:
    """Serve until the end of the block. ``fetch``: the way to Amazon SNS."""
    # Named as TCP: asyncio else lets the kernel hold back the second part of each answer for 40 ms (Nagle's algorithm).
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        settings = ApiSettings.read({"WIREROOM_BIND": f"127.0.0.1:{port}"} | environment)
        storage = storage_settings(folder, database_url, redis_url)
        app = create_app(settings, storage, channel_settings(telegram_url=telegram_url), fetch)
        server = _Server(server_config(app, settings))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        serves = asyncio.create_task(server.serves())
        await asyncio.wait((serves, task), return_when=asyncio.FIRST_COMPLETED)
        serves.cancel()
        api = Api(settings.public_url, database_url)
        try:
            yield api
        finally:
            await api.close()
            server.tell_to_end()
            await task
