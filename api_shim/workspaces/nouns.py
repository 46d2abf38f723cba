"""The operations that all kinds of things under a workspace have alike."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from api_shim import problems
from api_shim.operations import Call, Handler, Operation, Reply, asking, taking
from api_shim.problems import ProblemType
from models.vocabulary import Scope

T = TypeVar("T")

BASE: Final = "/api/workspaces/{workspaceId}"
BAD_BODY: Final = (
    problems.MALFORMED_JSON,
    problems.INVALID_BODY,
    problems.MISSING_FIELD,
    problems.UNKNOWN_FIELD,
    problems.TIMED_OUT,
    problems.TOO_LARGE,
    problems.UNSUPPORTED_ENCODING,
)


class Noun:
    """A kind of thing under a workspace: its path, its tag, its scope, and the operations that all kinds have alike."""

    def __init__(self, path: str, tag: str, scope: Scope) -> None:
        self.path = f"{BASE}/{path}"
        self._common: dict[str, Any] = {"tag": tag, "scope": scope}

    def make(
        self,
        request: type[T],
        view: type,
        handler: Callable[[Call, T], Awaitable[Reply]],
        summary: str,
        *,
        statuses: Sequence[int] = (201,),
        errors: Sequence[ProblemType] = (),
    ) -> Operation:
        """POST of the collection."""
        return Operation(
            "POST",
            self.path,
            summary=summary,
            responses=dict.fromkeys(statuses, view),
            errors=(*BAD_BODY, *errors),
            **taking(request, handler),
            **self._common,
        )

    def page(
        self, query: type[T], view: type, handler: Callable[[Call, T], Awaitable[Reply]], summary: str
    ) -> Operation:
        """GET of the collection."""
        return Operation(
            "GET", self.path, summary=summary, responses={200: view}, **asking(query, handler), **self._common
        )

    def get(self, name: str, view: type, handler: Handler, summary: str) -> Operation:
        """GET of one."""
        path = f"{self.path}/{{{name}}}"
        responses = {200: view}
        errors = (problems.NOT_FOUND,)
        return Operation("GET", path, handler, summary=summary, responses=responses, errors=errors, **self._common)

    def change(
        self,
        method: str,
        below: str,
        request: type[T],
        view: type,
        handler: Callable[[Call, T], Awaitable[Reply]],
        summary: str,
        *,
        statuses: Sequence[int] = (200,),
        errors: Sequence[ProblemType] = (),
    ) -> Operation:
        """PATCH or PUT of one."""
        return Operation(
            method,
            f"{self.path}/{below}",
            summary=summary,
            responses=dict.fromkeys(statuses, view),
            errors=(*BAD_BODY, problems.NOT_FOUND, *errors),
            **taking(request, handler),
            **self._common,
        )

    def remove(self, name: str, handler: Handler, summary: str, *, errors: Sequence[ProblemType] = ()) -> Operation:
        """DELETE of one."""
        return Operation(
            "DELETE",
            f"{self.path}/{{{name}}}",
            handler,
            summary=summary,
            responses={204: None},
            errors=(problems.NOT_FOUND, *errors),
            **self._common,
        )
