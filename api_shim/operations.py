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
from starlette.requests import Request

from api_shim import problems
from api_shim.auth import Principal
from api_shim.decoding import convert_query, decode, read_body
from api_shim.problems import ProblemBody, ProblemType
from api_shim.replies import Reply as Reply
from api_shim.services import Services
from api_shim.sessions import Session
from models import ids
from models.vocabulary import Scope as KeyScope

T = TypeVar("T")

BODY_LIMIT: Final = 1 << 20
WORKSPACE: Final = "workspaceId"
"""The part of a path that names a workspace."""
_CHANGES: Final = frozenset({"PATCH", "PUT"})
_BELOW: Final = f"/api/workspaces/{{{WORKSPACE}}}/"
_PATH_PART: Final = re.compile(r"\{(\w+)(?::\w+)?\}")


class Call:
    """One request, as a handler sees it. ``given``: its body. ``request_id``: where the audit log tells of it.

    ``changes``: whether the body names what is to be changed of something that stands, and is not all of something new.
    """

    def __init__(self, operation: "Operation", services: Services, request: Request) -> None:
        self.services = services
        self.request = request
        self.principal: Principal | None = None
        self.session: Session | None = None
        self.csrf_token: str | None = None
        self.traceparent: str | None = None
        self.given: msgspec.Struct | None = None
        self.changes = request.method in _CHANGES
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
        return self.needs_session or (self.scope is not None and f"{{{WORKSPACE}}}" in self.path)

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
