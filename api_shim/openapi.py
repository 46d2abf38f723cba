"""The OpenAPI 3.1 document, made of the table of operations and of the types that validate."""

import inspect
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec

from api_shim import csv_cells, problem_help, problems
from api_shim.examples import catalogue
from api_shim.examples.catalogue import Example
from api_shim.operations import Operation
from api_shim.problems import Problem, ProblemBody, ProblemType, ShortError
from api_shim.sessions import CSRF_HEADER, Cookies

Json = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
# Refused before the address is known.
_EARLY: Final = (problems.MALFORMED_REQUEST, problems.HEAD_TOO_LARGE)
_ALWAYS: Final = (problems.INVALID_PARAMETER, *_EARLY, problems.INTERNAL, problems.STORAGE_UNAVAILABLE)
_BY_COOKIE: Final = (problems.UNAUTHORIZED, problems.CSRF_TOKEN, problems.CROSS_ORIGIN)
_WITH_KEY: Final = (problems.UNAUTHORIZED, problems.MISSING_SCOPE, problems.TOO_MANY_REQUESTS)
_SHORT: Final = ".short"
_TEXT: Final = {"type": "string"}
# Headers of problems, by the status that they come with.
_HEADERS: Final[Mapping[int, Json]] = {
    401: {"WWW-Authenticate": {"description": "The credentials that are taken.", "schema": _TEXT}},
    **{
        status: {"Retry-After": {"description": "Seconds to wait before another try.", "schema": {"type": "integer"}}}
        for status in (409, 429, 503)
    },
}


def document(operations: Sequence[Operation], public_url: str) -> Json:
    """The document; ``operations`` in the order in which it is to list them."""
    schemas, components = _schemas(operations)
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.shown_path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Wireroom",
            "version": version("wireroom"),
            "description": "Messages by email, web push, Telegram, inbox and webhook, with a status that never lies.",
        },
        "servers": [{"url": public_url}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": components,
            "examples": _error_examples(operations),
            "securitySchemes": _security_schemes(public_url),
        },
    }


def _security_schemes(public_url: str) -> Json:
    return {
        "key": {"type": "http", "scheme": "bearer", "bearerFormat": "wr_live_…"},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": Cookies(public_url).session,
            "description": "A person who is signed in, in the workspaces that they belong to. `POST /api/auth/sign-in` "
            "sets it.",
        },
        "inbox": {
            "type": "http",
            "scheme": "bearer",
            "description": "An inbox token, of `POST …/contacts/{contactId}/inbox-token`.",
        },
        "csrf": {
            "type": "apiKey",
            "in": "header",
            "name": CSRF_HEADER,
            "description": "The session's `csrfToken`, which `GET /api/auth/session` answers.",
        },
    }


def _schemas(operations: Sequence[Operation]) -> tuple[dict[Any, Json], Json]:
    """The schema of every type, and the components that they refer to."""
    wanted: dict[Any, None] = {ProblemBody: None, ShortError: None}
    for operation in operations:
        bodies = (*operation.responses.values(), *operation.error_bodies.values())
        for each in (operation.request, operation.query, *bodies):
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


def _operation(operation: Operation, schemas: Mapping[Any, Json]) -> Json:
    example = catalogue.examples().get(operation.operation_id, Example())
    shown: Json = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": _parameters(operation, example),
        "responses": {
            str(status): _response(operation, status, schemas, example.responses.get(status))
            for status in operation.responses
        },
    }
    if security := _security(operation):
        shown["security"] = security
    needs = [operation.notes] if operation.notes else []
    if operation.scope is not None:
        needs.append(f"Needs the scope `{operation.scope.value}`.")
    if example.needs:
        needs.append(f"For the example: {example.needs}")
    if needs:
        shown["description"] = " ".join(needs)
    if operation.request is not None:
        shown["requestBody"] = {"required": True, "content": _contents(operation, schemas, example.request)}
    for status, types in errors_of(operation).items():
        shown["responses"].setdefault(str(status), _error_response(operation, types, schemas))
    return shown


def _security(operation: Operation) -> list[Json]:
    """Who may call. The list of a scheme names the roles that are needed (OpenAPI 3.1.0, section 4.8.30)."""
    if operation.needs_inbox_token:
        return [{"inbox": []}]
    scopes = [] if operation.scope is None else [operation.scope.value]
    by_session: Json = {"session": scopes} if operation.method == "GET" else {"session": scopes, "csrf": []}
    return ([] if operation.scope is None else [{"key": scopes}]) + ([by_session] if operation.takes_session else [])


def _contents(operation: Operation, schemas: Mapping[Any, Json], example: Any) -> Json:
    """The bodies that are taken, by media type."""
    content = {media: _media(media, schemas[operation.request], example) for media in operation.request_media}
    for media, body in operation.other_requests.items():
        if media in content:
            content[media]["schema"] = {"anyOf": [content[media]["schema"], body.schema]}
        else:
            content[media] = {"schema": body.schema, "example": body.example}
    return content


def _media(media: str, schema: Json, example: Any) -> Json:
    if media == "text/csv":  # of which no schema says more
        return {"schema": _TEXT, "example": _as_csv(example)}
    # Of NDJSON the schema says what a line is.
    by_line = media.endswith("ndjson")
    shown = {"schema": schema["items"] if by_line else schema}
    return shown if example is None else shown | {"example": example[0] if by_line else example}


def _as_csv(example: Sequence[Json]) -> str:
    """Rows of JSON under the names of all their fields."""
    names = list(dict.fromkeys(name for row in example for name in row))
    rows = [csv_cells.line([row.get(name) for name in names]) for row in example]
    return b"".join([csv_cells.line(names), *rows]).decode()


def _parameters(operation: Operation, example: Example) -> list[Json]:
    shown: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in operation.path_names
    ]
    if operation.query is not None:
        own = msgspec.json.schema(operation.query)["$defs"][operation.query.__name__]["properties"]
        for name, schema in own.items():
            parameter = {"name": name, "in": "query", "schema": _reachable(_plain(schema))}
            if "description" in schema:
                parameter["description"] = schema["description"]
            shown.append(parameter)
    for name, meaning in operation.headers.items():
        shown.append({"name": name, "in": "header", "description": meaning, "schema": _TEXT})
    given = {"path": catalogue.in_paths(), "query": example.query, "header": example.headers}
    for each in shown:
        if each["name"] in given[each["in"]]:
            each["example"] = given[each["in"]][each["name"]]
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


def _response(operation: Operation, status: int, schemas: Mapping[Any, Json], example: Any) -> Json:
    body = operation.responses[status]
    if body is None:
        return {"description": "Done."}
    content = {"schema": schemas[body]} | ({} if example is None else {"example": example})
    media = operation.other_media.get(status, operation.response_media)
    return {"description": "Done.", "content": {media: content}}


def errors_of(operation: Operation) -> Mapping[int, list[ProblemType]]:
    """Every type of problem that the operation may answer, by status."""
    types = [*operation.errors, *_ALWAYS]
    if operation.scope is not None:
        types += _WITH_KEY
        if "{workspaceId}" in operation.path:
            types.append(problems.NOT_FOUND)
    if operation.takes_session:
        types += (problems.UNAUTHORIZED,) if operation.method == "GET" else _BY_COOKIE
    by_status: dict[int, list[ProblemType]] = {}
    for each in dict.fromkeys(types):
        by_status.setdefault(each.status, []).append(each)
    return dict(sorted(by_status.items()))


def _error_response(operation: Operation, types: Sequence[ProblemType], schemas: Mapping[Any, Json]) -> Json:
    status = types[0].status
    content: Json = {}
    short = [each for each in types if _is_short(operation, each)]
    if short:
        content["application/json"] = {"schema": schemas[ShortError], "examples": _examples(short, _SHORT)}
    long = [each for each in types if each not in short]
    if long:
        of_these = {"properties": {"type": {"enum": [each.uri for each in long]}, "status": {"const": status}}}
        body = operation.error_bodies.get(status, ProblemBody)
        content[problems.PROBLEM_JSON] = {"schema": {"allOf": [schemas[body], of_these]}, "examples": _examples(long)}
    meanings = "; ".join(f"{each.title} (`{each.uri}`)" for each in types)
    shown: Json = {"description": meanings, "content": content}
    return shown | ({"headers": _HEADERS[status]} if status in _HEADERS else {})


def _examples(types: Sequence[ProblemType], ending: str = "") -> Json:
    return {each.name: {"$ref": f"#/components/examples/{each.name}{ending}"} for each in types}


def _is_short(operation: Operation, kind: ProblemType) -> bool:
    return operation.short_errors and kind not in _EARLY


def _error_examples(operations: Sequence[Operation]) -> Json:
    """One example of every type of problem, in each form in which an operation answers it."""
    shown: Json = {}
    for operation in operations:
        for types in errors_of(operation).values():
            for each in types:
                short = _is_short(operation, each)
                shown[f"{each.name}{_SHORT if short else ''}"] = _error_example(each, short=short)
    return dict(sorted(shown.items()))


def _error_example(kind: ProblemType, *, short: bool) -> Json:
    errors = problem_help.EXAMPLES.get(kind.name, ())
    reasons = [reason for reason, refusal in problems.REFUSALS.items() if refusal is kind]
    problem = Problem(kind, errors=errors, failure_reason=reasons[0] if reasons else None)
    body = problems.short_body(problem) if short else problem.body
    return {"summary": kind.title, "value": msgspec.to_builtins(body)}
