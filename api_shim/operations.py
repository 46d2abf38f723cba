"""What an operation of the API is, and how a request becomes one.

An ``Operation`` holds all that is known of it: the routes are made of it, and the OpenAPI document too, so that
the types that validate are the types that are documented.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from api_shim import audit, problems
from api_shim.auth import Principal
from api_shim.decoding import check_names, convert_query, decode, read_body
from api_shim.problems import Problem, ProblemBody, ProblemType
from api_shim.replies import Reply as Reply
from api_shim.replies import report, write
from api_shim.services import Services
from api_shim.sessions import Session
from api_shim.traffic import Measured
from models import ids
from models.errors import WireroomError
from models.sandboxes import live_of
from models.secrets import SealBroken
from models.vocabulary import Scope as KeyScope

T = TypeVar("T")

BODY_LIMIT: Final = 1 << 20
_WORKSPACE: Final = "workspaceId"
_BELOW: Final = f"/api/workspaces/{{{_WORKSPACE}}}/"
_PATH_PART: Final = re.compile(r"\{(\w+)(?::\w+)?\}")

log = structlog.get_logger("api_shim")


class Call:
    """One request, as a handler sees it. ``given``: its body. ``request_id``: where the audit log tells of it."""

    def __init__(self, operation: "Operation", services: Services, request: Request) -> None:
        self.services = services
        self.request = request
        self.principal: Principal | None = None
        self.session: Session | None = None
        self.csrf_token: str | None = None
        self.traceparent: str | None = None
        self.given: msgspec.Struct | None = None
        self.request_id: str | None = None
        self._operation = operation

    async def begin(self) -> None:
        """Read what is needed before it is known who calls; ``csrf_token`` where it comes by no header."""

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

    @property
    def signed_in(self) -> Session:
        """The session of the person who calls; only operations that need one are sure to have it."""
        if self.session is None:
            raise RuntimeError(f"{self._operation.path} needs no session, so nobody was asked for one")
        return self.session

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


class MediaBody(msgspec.Struct, frozen=True):
    """A body that no type of ours reads: its JSON Schema and, unless the operation's own will do, an example."""

    schema: dict[str, Any]
    example: Any = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. ``scope`` None: no key is asked for. ``short_errors``: the "messages" dialect.

    ``other_media``: by status, where an answer is not of ``response_media``. ``other_requests``: by media type, bodies
    that are taken beside ``request``. ``notes``: what is to be said beside the summary, as CommonMark.

    ``error_bodies``: by status, where a problem says more than most do. ``needs_session``: a person who is signed in,
    whatever their workspaces are, and no key. ``needs_inbox_token``: the owner of an inbox; the handler asks for it.
    ``traced``: messages come by it.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    scope: KeyScope | None
    request: Any = None
    request_media: Sequence[str] = ("application/json",)
    other_requests: Mapping[str, MediaBody] = field(default_factory=dict)
    notes: str = ""
    query: type[msgspec.Struct] | None = None
    responses: Mapping[int, Any] = field(default_factory=lambda: {200: None})
    response_media: str = "application/json"
    other_media: Mapping[int, str] = field(default_factory=dict)
    errors: Sequence[ProblemType] = ()
    error_bodies: Mapping[int, type[ProblemBody]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    short_errors: bool = False
    needs_session: bool = False
    needs_inbox_token: bool = False
    traced: bool = False

    @property
    def takes_session(self) -> bool:
        """Whether a session's cookie will do instead of a key: below a workspace, as the path names it."""
        return self.needs_session or (self.scope is not None and f"{{{_WORKSPACE}}}" in self.path)

    @property
    def shown_path(self) -> str:
        """The path as the OpenAPI document writes it."""
        return _PATH_PART.sub(r"{\1}", self.path)

    @property
    def path_names(self) -> list[str]:
        """The names of the parts of the path that a request fills in."""
        return _PATH_PART.findall(self.path)

    @property
    def operation_id(self) -> str:
        """Its name in the OpenAPI document: the method and the words of the path."""
        words = re.findall(r"[A-Za-z0-9]+", self.shown_path.replace(_BELOW, "/workspace/"))
        return self.method.lower() + "".join(word[:1].upper() + word[1:] for word in words)

    @property
    def status(self) -> int:
        """The status of its first answer."""
        return min(self.responses)


def taking(request: type[T], handler: Callable[[Call, T], Awaitable[Reply]]) -> dict[str, Any]:
    """The ``request`` and ``handler`` of an operation with a JSON body: one type for both."""

    async def with_body(call: Call) -> Reply:
        body = await call.json(request)
        call.given = body if isinstance(body, msgspec.Struct) else None
        return await handler(call, body)

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
        request = Request(scope, receive)
        operation = self._by_method.get(scope["method"])
        if operation is None:
            allowed = {"Allow": ", ".join(sorted(self._by_method))}
            response = self.refuse(self._any, request, Problem(problems.METHOD_NOT_ALLOWED, headers=allowed))
        elif operation.traced:
            with self._services.traces.serving(request, operation.shown_path) as served:
                response = await self._answer(operation, request, served.traceparent)
                served.answered(response.status_code)
        else:
            response = await self._answer(operation, request)
        await response(scope, receive, send)

    async def _answer(self, operation: Operation, request: Request, traceparent: str | None = None) -> Response:
        call = self.call(operation, request)
        call.traceparent = traceparent
        response = await self._try(call, operation, request)
        if call.request_id is not None:
            response.headers[audit.REQUEST_ID] = call.request_id
        return response

    async def _try(self, call: Call, operation: Operation, request: Request) -> Response:
        try:
            await call.begin()
            await _admit(call, operation)
            return write(await operation.handler(call), operation.path, operation.status)
        except Problem as problem:
            await self._services.refusals.note(call, f"{operation.method} {operation.shown_path}", problem)
            return self.refuse(operation, request, problem)
        except SealBroken as error:
            report(error, operation.path)
            return self.refuse(operation, request, Problem(problems.INTERNAL))
        except WireroomError as error:
            return self.refuse(operation, request, problems.problem_of(error))
        except ClientDisconnect:
            log.info("the client left before its request was whole", path=operation.path)
            return self.refuse(operation, request, Problem(problems.TIMED_OUT))  # nobody reads it
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer and no traceback
            report(error, operation.path)
            return self.refuse(operation, request, Problem(problems.INTERNAL))

    def call(self, operation: Operation, request: Request) -> Call:
        """The request as the operation's handler sees it."""
        return Call(operation, self._services, request)

    def refuse(self, operation: Operation, request: Request, problem: Problem) -> Response:
        """A problem in the operation's dialect."""
        return problems.respond_short(problem) if operation.short_errors else problems.respond(problem)


async def _admit(call: Call, operation: Operation) -> None:
    """Check key or session, workspace, scope and the names of parameters, and refuse what no database can look up."""
    authorization = call.request.headers.get("authorization")
    # A key, where one is given, speaks for itself: no browser adds it to what another site's page asks for.
    if operation.needs_session or (operation.takes_session and authorization is None):
        call.session = await call.services.sessions.identify(call.request, call.csrf_token)
    if operation.scope is not None:
        call.principal = await _principal(call, authorization)
        call.principal.need(operation.scope)
    if operation.scope is not None or operation.needs_session:
        # Only of our own callers: what a provider adds to the address of its hook is its own affair.
        check_names(call.request.query_params, operation.query)
    if "%00" in call.request.url.query:
        raise Problem(problems.INVALID_PARAMETER, "A parameter holds the character U+0000.")


async def _principal(call: Call, authorization: str | None) -> Principal:
    """Who calls, in the workspace of the path; raises Problem (401, 404)."""
    if call.session is not None:
        wanted = call.path_id(_WORKSPACE, ids.Kind.WORKSPACE, "workspace")
        person = await call.services.sessions.principal(call.session, wanted)
        if person is None:
            raise problems.not_found("workspace")
        return person
    key = await call.services.authenticator.principal(authorization)
    call.services.key_limits.count(key.key_id)
    if _WORKSPACE in call.request.path_params:
        wanted = call.path_id(_WORKSPACE, ids.Kind.WORKSPACE, "workspace")
        # A test key goes by its workspace's address, so that a program changes nothing but its key.
        if wanted not in (key.workspace_id, live_of(key.workspace_id)):
            raise problems.not_found("workspace")
    return key


def routes_of(
    operations: Sequence[Operation], services: Services, endpoint: type[Endpoint] = Endpoint
) -> list[BaseRoute]:
    """One route per path, in the order of the operations."""
    by_path: dict[str, list[Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, []).append(operation)
    return [Route(path, _measured(endpoint(of_path, services), of_path, services)) for path, of_path in by_path.items()]


def _measured(endpoint: Endpoint, operations: Sequence[Operation], services: Services) -> Measured:
    methods = frozenset(operation.method for operation in operations)
    return Measured(endpoint, operations[0].shown_path, methods, services.traffic)
