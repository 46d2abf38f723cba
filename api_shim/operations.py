"""What an operation of the API is, and how a request becomes one.

An ``Operation`` holds all that is known of it: the routes are made of it, and the OpenAPI document too, so that
the types that validate are the types that are documented.
"""

import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api_shim import problems
from api_shim.auth import Principal
from api_shim.decoding import check_names, convert_query, decode, read_body
from api_shim.problems import Problem, ProblemType
from api_shim.services import Services
from models import ids
from models.errors import WireroomError
from models.vocabulary import Scope as KeyScope

T = TypeVar("T")

BODY_LIMIT: Final = 1 << 20
_WORKSPACE: Final = "workspaceId"

log = structlog.get_logger("api_shim")


class Reply(msgspec.Struct, frozen=True):
    """What a handler answers: a struct to be written as JSON, or bytes of ``media_type``."""

    body: msgspec.Struct | bytes | None = None
    status: int | None = None
    headers: dict[str, str] = {}
    media_type: str = "application/json"


class Call:
    """One request, as a handler sees it."""

    def __init__(self, operation: "Operation", services: Services, request: Request) -> None:
        self.services = services
        self.request = request
        self.principal: Principal | None = None
        self._operation = operation

    @property
    def workspace_id(self) -> UUID:
        """The caller's workspace."""
        return self.caller.workspace_id

    @property
    def caller(self) -> Principal:
        """Who calls; only operations with a scope have one."""
        if self.principal is None:
            raise RuntimeError(f"{self._operation.path} has no scope, so nobody was asked for a key")
        return self.principal

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def path_id(self, name: str, kind: ids.Kind, noun: str) -> UUID:
        """An id in the path; any other string is an unknown id (404)."""
        found = ids.parse(kind, self.path(name))
        if found is None:
            raise problems.not_found(noun)
        return found

    def query(self, wanted: type[T]) -> T:
        """The query parameters; raises Problem (400)."""
        return convert_query(self.request.query_params, wanted)

    async def body(self, limit: int = BODY_LIMIT) -> bytes:
        """The body's bytes; raises Problem (413)."""
        return await read_body(self.request, limit)

    async def json(self, wanted: type[T]) -> T:
        """The body as a ``wanted``; raises Problem (400, 413)."""
        return decode(await self.body(), wanted)


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. ``scope`` None: no key is asked for. ``short_errors``: the "messages" dialect."""

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    scope: KeyScope | None
    request: Any = None
    request_media: Sequence[str] = ("application/json",)
    query: type[msgspec.Struct] | None = None
    responses: Mapping[int, Any] = field(default_factory=lambda: {200: None})
    response_media: str = "application/json"
    errors: Sequence[ProblemType] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    example: Any = None
    short_errors: bool = False

    @property
    def status(self) -> int:
        """The status of its first answer."""
        return min(self.responses)


def taking(request: type[T], handler: Callable[[Call, T], Awaitable[Reply]]) -> dict[str, Any]:
    """The ``request`` and ``handler`` of an operation with a JSON body: one type for both."""

    async def with_body(call: Call) -> Reply:
        return await handler(call, await call.json(request))

    return {"request": request, "handler": with_body}


def asking(query: type[T], handler: Callable[[Call, T], Awaitable[Reply]]) -> dict[str, Any]:
    """The ``query`` and ``handler`` of an operation with query parameters: one type for both."""

    async def with_query(call: Call) -> Reply:
        return await handler(call, call.query(query))

    return {"query": query, "handler": with_query}


class Endpoint:
    """The ASGI application of one path: finds the operation of a method, and answers every request somehow."""

    def __init__(self, operations: Sequence[Operation], services: Services) -> None:
        self._services = services
        self._by_method = {operation.method: operation for operation in operations}
        if "GET" in self._by_method:
            self._by_method.setdefault("HEAD", self._by_method["GET"])
        self._any = operations[0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        operation = self._by_method.get(scope["method"])
        if operation is None:
            allowed = {"Allow": ", ".join(sorted(self._by_method))}
            response = say(self._any, Problem(problems.METHOD_NOT_ALLOWED, headers=allowed))
        else:
            response = await self._answer(operation, Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, operation: Operation, request: Request) -> Response:
        try:
            call = Call(operation, self._services, request)
            await _admit(call, operation)
            return _write(operation, await operation.handler(call))
        except Problem as problem:
            return say(operation, problem)
        except WireroomError as error:
            return say(operation, problems.problem_of(error))
        except ClientDisconnect:
            log.info("the client left before its request was whole", path=operation.path)
            return say(operation, Problem(problems.TIMED_OUT))  # nobody reads it
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer and no traceback
            report(error, operation.path)
            return say(operation, Problem(problems.INTERNAL))


async def _admit(call: Call, operation: Operation) -> None:
    """Check key, workspace, scope and the names of parameters, and refuse what no database can look up."""
    parts = call.request.path_params
    if operation.scope is not None:
        call.principal = await call.services.authenticator.principal(call.request.headers.get("authorization"))
        if _WORKSPACE in parts and call.path_id(_WORKSPACE, ids.Kind.WORKSPACE, "workspace") != call.workspace_id:
            raise problems.not_found("workspace")
        call.principal.need(operation.scope)
        # Only of our own callers: what a provider adds to the address of its hook is its own affair.
        check_names(call.request.query_params, operation.query)
    if "%00" in call.request.url.query:
        raise Problem(problems.INVALID_PARAMETER, "A parameter holds the character U+0000.")


def _write(operation: Operation, reply: Reply) -> Response:
    content = reply.body if isinstance(reply.body, bytes) else b""
    if isinstance(reply.body, msgspec.Struct):
        content = msgspec.json.encode(reply.body)
    status = reply.status or operation.status
    return Response(content, status, reply.headers, reply.media_type if reply.body is not None else None)


def say(operation: Operation, problem: Problem) -> Response:
    """A problem in the operation's dialect."""
    return problems.respond_short(problem) if operation.short_errors else problems.respond(problem)


def report(error: Exception, path: str) -> None:
    """Log an error that nobody foresaw: where it happened, but not its words, which may hold personal data."""
    places = "".join(traceback.format_tb(error.__traceback__))
    log.error("request failed", path=path, error=type(error).__name__, places=places)
