"""How a request is answered: its operation is found, who calls is asked, and whatever happens, an answer goes out."""

from collections.abc import Sequence

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from api_shim import audit, problems
from api_shim.auth import Principal
from api_shim.decoding import check_names
from api_shim.operations import WORKSPACE, Call, Operation
from api_shim.problems import Problem
from api_shim.replies import report, write
from api_shim.services import Services
from api_shim.traffic import Measured
from models import ids
from models.errors import WireroomError
from models.sandboxes import live_of
from models.secrets import SealBroken

log = structlog.get_logger("api_shim")


class Endpoint:
    """The ASGI application of one path: finds the operation of a method, and answers every request somehow."""

    def __init__(self, operations: Sequence[Operation], services: Services) -> None:
        self._services = services
        self._by_method = {operation.method: operation for operation in operations}
        if "GET" in self._by_method:
            self._by_method.setdefault("HEAD", self._by_method["GET"])
        self._any = operations[0]
        self._shown_path = self._any.shown_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        operation = self._by_method.get(scope["method"])
        if operation is None:
            allowed = {"Allow": ", ".join(sorted(self._by_method))}
            response = self.refuse(self._any, request, Problem(problems.METHOD_NOT_ALLOWED, headers=allowed))
        elif operation.traced:
            with self._services.traces.serving(request, self._shown_path) as served:
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
            await self._services.refusals.note(call, f"{operation.method} {self._shown_path}", problem)
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
    if query := call.request.scope["query_string"]:
        _check_query(call, operation, query)


def _check_query(call: Call, operation: Operation, query: bytes) -> None:
    if operation.scope is not None or operation.needs_session:
        # Only of our own callers: what a provider adds to the address of its hook is its own affair.
        check_names(call.request.query_params, operation.query)
    if b"%00" in query:
        raise Problem(problems.INVALID_PARAMETER, "A parameter holds the character U+0000.")


async def _principal(call: Call, authorization: str | None) -> Principal:
    """Who calls, in the workspace of the path; raises Problem (401, 404)."""
    if call.session is not None:
        wanted = call.path_id(WORKSPACE, ids.Kind.WORKSPACE, "workspace")
        person = await call.services.sessions.principal(call.session, wanted)
        if person is None:
            raise problems.not_found("workspace")
        return person
    key = await call.services.authenticator.principal(authorization)
    call.services.key_limits.count(key.key_id)
    if WORKSPACE in call.request.path_params:
        wanted = call.path_id(WORKSPACE, ids.Kind.WORKSPACE, "workspace")
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
