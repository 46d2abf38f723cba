"""The OpenAPI 3.1 document, made of the table of operations and of the types that validate."""

import inspect
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec

from api_shim import problems
from api_shim.operations import Operation
from api_shim.problems import ProblemBody, ProblemType, ShortError

Json = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
_PATH_PART: Final = re.compile(r"\{(\w+)(?::\w+)?\}")
_ALWAYS: Final = (problems.INTERNAL, problems.STORAGE_UNAVAILABLE)
_WITH_KEY: Final = (problems.UNAUTHORIZED, problems.MISSING_SCOPE)


def document(operations: Sequence[Operation], public_url: str) -> Json:
    """The document; ``operations`` in the order in which it is to list them."""
    schemas, components = _schemas(operations)
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(_shown_path(operation), {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Wireroom",
            "version": version("wireroom"),
            "description": "Message dispatch by email and webhook, with a status that never lies.",
        },
        "servers": [{"url": public_url}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "wr_live_…"}},
        },
    }


def _schemas(operations: Sequence[Operation]) -> tuple[dict[Any, Json], Json]:
    """The schema of every type, and the components that they refer to."""
    wanted: dict[Any, None] = {ProblemBody: None, ShortError: None}
    for operation in operations:
        for each in (operation.request, operation.query, *operation.responses.values()):
            if each is not None:
                wanted[each] = None
    types = list(wanted)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    queries = {operation.query.__name__ for operation in operations if operation.query is not None}
    shown = {name: _described(schema) for name, schema in components.items() if name not in queries}
    return dict(zip(types, schemas, strict=True)), shown


def _described(schema: Json) -> Json:
    """A component with the docstring it is described by as CommonMark, in which an indented line would be code."""
    description = inspect.cleandoc(schema.get("description", "")).replace("``", "`")
    return schema | {"description": description} if description else schema


def _shown_path(operation: Operation) -> str:
    return _PATH_PART.sub(r"{\1}", operation.path)


def _operation(operation: Operation, schemas: Mapping[Any, Json]) -> Json:
    shown: Json = {
        "operationId": _operation_id(operation),
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": _parameters(operation, schemas),
        "responses": {str(status): _response(each, schemas) for status, each in operation.responses.items()},
    }
    if operation.scope is not None:
        shown["security"] = [{"key": []}]
        shown["description"] = f"Needs the scope `{operation.scope.value}`."
    if operation.request is not None:
        content = {media: _media(operation, media, schemas[operation.request]) for media in operation.request_media}
        shown["requestBody"] = {"required": True, "content": content}
    for status, types in _errors(operation).items():
        shown["responses"].setdefault(str(status), _error_response(operation, types, schemas))
    return shown


def _media(operation: Operation, media: str, schema: Json) -> Json:
    # Of NDJSON the schema says what a line is.
    shown = {"schema": schema["items"] if media.endswith("ndjson") else schema}
    return shown if operation.example is None else shown | {"example": operation.example}


def _operation_id(operation: Operation) -> str:
    words = [part for part in re.split(r"[^A-Za-z0-9]+", _shown_path(operation)) if part]
    return operation.method.lower() + "".join(word[:1].upper() + word[1:] for word in words)


def _parameters(operation: Operation, schemas: Mapping[Any, Json]) -> list[Json]:
    text = {"type": "string"}
    shown: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": text} for name in _PATH_PART.findall(operation.path)
    ]
    if operation.query is not None:
        own = msgspec.json.schema(operation.query)["$defs"][operation.query.__name__]["properties"]
        for name, schema in own.items():
            parameter = {"name": name, "in": "query", "schema": _reachable(_plain(schema))}
            if "description" in schema:
                parameter["description"] = schema["description"]
            shown.append(parameter)
    for name, meaning in operation.headers.items():
        shown.append({"name": name, "in": "header", "description": meaning, "schema": text})
    return shown


def _plain(schema: Json) -> Json:
    """A property's schema as a parameter's: null means no more than that the parameter is left out."""
    given = {key: value for key, value in schema.items() if key != "description" and (key, value) != ("default", None)}
    choices = [choice for choice in given.pop("anyOf", []) if choice != {"type": "null"}]
    return given | choices[0] if choices else given


def _reachable(schema: Any) -> Any:
    """A schema whose references lead to the components of the document."""
    if isinstance(schema, dict):
        return {key: _reachable(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_reachable(value) for value in schema]
    return schema.replace("#/$defs/", "#/components/schemas/") if isinstance(schema, str) else schema


def _response(body: Any, schemas: Mapping[Any, Json]) -> Json:
    if body is None:
        return {"description": "Done."}
    return {"description": "Done.", "content": {"application/json": {"schema": schemas[body]}}}


def _errors(operation: Operation) -> Mapping[int, list[ProblemType]]:
    types = [*operation.errors, *_ALWAYS]
    if operation.scope is not None:
        types += _WITH_KEY
        if "{workspaceId}" in operation.path:
            types.append(problems.NOT_FOUND)
    if operation.query is not None:
        types.append(problems.INVALID_PARAMETER)
    by_status: dict[int, list[ProblemType]] = {}
    for each in dict.fromkeys(types):
        by_status.setdefault(each.status, []).append(each)
    return dict(sorted(by_status.items()))


def _error_response(operation: Operation, types: Sequence[ProblemType], schemas: Mapping[Any, Json]) -> Json:
    body, media = (ShortError, "application/json") if operation.short_errors else (ProblemBody, problems.PROBLEM_JSON)
    meanings = "; ".join(f"{each.title} (`{each.uri}`)" for each in types)
    return {"description": meanings, "content": {media: {"schema": schemas[body]}}}
