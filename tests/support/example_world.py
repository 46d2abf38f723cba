"""A workspace with a row of every kind, made by the examples of the OpenAPI document, and requests of those examples.

It knows no operation by name, so that it grows with the table: what a collection's POST answers with an id is a row.
"""

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import httpx

from api_shim.examples import catalogue
from api_shim.examples.catalogue import Example
from api_shim.operations import Operation
from api_shim.routing import OPERATIONS
from models import ids
from models.ids import DIALECT_B, Kind
from tests.support.api import Tenant

_KINDS: Final = {prefix: kind for kind in Kind for prefix in {kind.value, DIALECT_B.get(kind, kind.value)}}
_ID: Final = re.compile(rf"\b({'|'.join(_KINDS)})_[0-9a-hjkmnp-tv-z]{{26}}\b")
_COLLECTION: Final = re.compile(r"/api/workspaces/\{workspaceId\}/[a-z-]+(/\{channel\})?\Z")


def example_of(operation: Operation) -> Example:
    """The operation's example; an empty one where it needs no words."""
    return catalogue.examples().get(operation.operation_id, Example())


def kinds_in(value: Any) -> set[Kind]:
    """The kinds of the ids in a text, or in the texts of a JSON value."""
    if isinstance(value, str):
        return {_KINDS[found[1]] for found in _ID.finditer(value)}
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {kind for each in inner for kind in kinds_in(each)}


def is_id(name: str) -> bool:
    """Whether a part of a path is an id, as its example has it."""
    return bool(kinds_in(catalogue.in_paths().get(name, "")))


class World:
    """A tenant's workspace, and the ids of what was made in it."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        found = ids.parse(Kind.WORKSPACE, tenant.workspace)
        assert found is not None
        self.ids = {Kind.WORKSPACE: ids.encode(found)}
        self.made: dict[str, httpx.Response] = {}

    def real(self, value: Any) -> Any:
        """The value with this world's ids for those of the examples, which stay where it has none of that kind.

        Its addresses are its own too: an account's is the only one of its kind in all workspaces.
        """
        if isinstance(value, str):
            named = value.replace("@example.org", f"@{self.ids[Kind.WORKSPACE]}.example.org")
            return _ID.sub(lambda found: f"{found[1]}_{self.ids.get(_KINDS[found[1]], found[0][-26:])}", named)
        if isinstance(value, dict):
            return {self.real(name): self.real(each) for name, each in value.items()}
        return [self.real(each) for each in value] if isinstance(value, list) else value

    def path(self, operation: Operation, **parts: str) -> str:
        """The operation's address; ``parts`` instead of what the examples have."""
        values = {name: parts.get(name) or self.real(text) for name, text in catalogue.in_paths().items()}
        path = operation.shown_path
        for name in operation.path_names:
            path = path.replace(f"{{{name}}}", quote(values[name], safe=""))
        return path

    async def call(
        self, operation: Operation, *, client: httpx.AsyncClient | None = None, **request: Any
    ) -> httpx.Response:
        """The example's request; ``url``, ``params``, ``json``, ``content`` and ``headers`` instead of its own."""
        example = example_of(operation)
        own: dict[str, Any] = {"url": self.path(operation), "params": self.real(dict(example.query))}
        if operation.request is str:  # no JSON, but a text of some other form
            own |= {"content": self.real(example.request), "headers": {"Content-Type": operation.request_media[0]}}
        elif example.request is not None and "content" not in request:
            own["json"] = self.real(example.request)
        headers = own.pop("headers", {}) | self.real(dict(example.headers)) | request.pop("headers", {})
        return await (client or self.tenant.root).request(operation.method, headers=headers, **(own | request))

    async def build(self) -> None:
        """Make one row of every kind, each as soon as what its example refers to is there."""
        waiting = {operation.operation_id: operation for operation in makers()}
        while ready := [each for each in waiting.values() if not self._missing(each)]:
            for operation in ready:
                del waiting[operation.operation_id]
                answer = self.made[operation.operation_id] = await self.call(operation)
                assert answer.is_success, f"{operation.operation_id}: {answer.text}"
                self._remember(answer.json())
        assert not waiting, {name: self._missing(each) for name, each in waiting.items()}

    def _missing(self, operation: Operation) -> set[Kind]:
        example = example_of(operation)
        return kinds_in([example.request, *example.query.values()]) - set(self.ids)

    def _remember(self, made: Any) -> None:
        for found in _ID.finditer(str(made.get("id", ""))):
            self.ids[_KINDS[found[1]]] = found[0][-26:]


def makers() -> Iterator[Operation]:
    """The operations that make a row of some kind in a workspace."""
    return (each for each in OPERATIONS if each.method == "POST" and _COLLECTION.match(each.path))
