"""The HTTP server's composition root: ``python -m api_shim.app``."""

from models import light_start

if __name__ == "__main__":
    light_start.begin()
    light_start.load_libraries()

import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from functools import partial

import structlog
import uvicorn
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from api_shim import problems
from api_shim.protocol import BoundedProtocol
from api_shim.routing import routes
from api_shim.services import Services
from api_shim.settings import DRAIN_S, ApiSettings
from api_shim.sns_peer import Fetch
from api_shim.traffic import OTHER
from channels.rendering import warm_up
from channels.settings import ChannelSettings
from models import logs, threads
from models.errors import StorageUnavailable
from models.session import Database
from models.settings import StorageSettings
from worker.wakeups import Wakeups

_BACKLOG = 2048
# Longer than proxies and clients keep an idle connection, so that none sends on one that we just closed.
_KEEP_ALIVE_S = 75

log = structlog.get_logger("api_shim")


class _App(Starlette):
    """Without the middleware that answers errors: every endpoint of ours does that itself."""

    def build_middleware_stack(self) -> ASGIApp:
        """The routes alone."""
        return self.router


def create_app(
    settings: ApiSettings, storage: StorageSettings, channels: ChannelSettings, fetch: Fetch | None = None
) -> Starlette:
    """The application. It opens its connections when it starts, and starts whether or not they can be made.

    ``fetch`` replaces the way to Amazon SNS.
    """
    services = Services(
        settings,
        storage,
        Database.connect(storage.database_url, pool_size=10),
        Wakeups(storage.redis_url),
        channels,
        fetch,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            await services.intake()
        except (StorageUnavailable, SQLAlchemyError) as error:
            log.warning("no database yet; requests are answered 503", error=type(error).__name__)
        try:
            async with _bounces(settings, services):
                yield
        finally:
            await services.close()

    app = _App(routes=routes(services), lifespan=lifespan)
    app.router.redirect_slashes = False
    app.router.default = partial(_answer_unknown, services)
    app.state.services = services
    return app


@contextlib.asynccontextmanager
async def _bounces(settings: ApiSettings, services: Services) -> AsyncIterator[None]:
    """Take in bounce mail by LMTP until the end of the block, where it is asked for; raises OSError."""
    if settings.lmtp is None:
        yield
        return
    from api_shim.lmtp import LmtpServer  # noqa: PLC0415 - its library is not needed by most

    server = LmtpServer(services)
    await server.start(*settings.lmtp)
    log.info("lmtp.listens", port=server.port)
    try:
        yield
    finally:
        await server.stop()


def server_config(app: Starlette, settings: ApiSettings) -> uvicorn.Config:
    """How the application is served."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )


class _Server(uvicorn.Server):
    """Lets those go who wait for a message, or listen to an inbox, before it waits for the requests in flight."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; called once, on SIGTERM or SIGINT."""
        self._services.waiters.close()
        self._services.inbox_streams.close()
        await super().shutdown(sockets)


async def _answer_unknown(services: Services, scope: Scope, receive: Receive, send: Send) -> None:
    """What no operation answers: an unknown address."""
    problem, path = problems.not_found("address"), scope["path"]
    services.traffic.answered(OTHER, OTHER, problem.type.status, 0)
    short = path == "/messages" or path.startswith("/messages/")
    response = problems.respond_short(problem) if short else problems.respond(problem)
    await response(scope, receive, send)


def main() -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished."""
    storage = StorageSettings.read()
    settings = ApiSettings.read()
    logs.configure(storage.log_level, storage.log_format)
    threads.share_evenly()
    app = create_app(settings, storage, ChannelSettings.read())
    threading.Thread(target=warm_up, name="liquid", daemon=True).start()
    _Server(server_config(app, settings), app.state.services).run()


if __name__ == "__main__":
    main()
