"""The OpenAPI document: whole, valid, and with examples that are what the types that validate say."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route

from api_shim import problem_help, problems
from api_shim.app import create_app
from api_shim.examples import catalogue
from api_shim.openapi import document, errors_of
from api_shim.operations import Operation
from api_shim.problems import ProblemType
from api_shim.routing import OPERATIONS
from api_shim.settings import ApiSettings
from tests.support.scene import channel_settings, storage_settings

by_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.operation_id)


@cache
def described() -> dict[str, Any]:
    written = msgspec.json.encode(document(OPERATIONS, "https://wireroom.example.org"))
    return msgspec.json.decode(written, type=dict[str, Any])


def operation_in(operation: Operation) -> Any:
    return described()["paths"][operation.shown_path][operation.method.lower()]


def faults(schema: Mapping[str, Any], value: Any) -> list[str]:
    """What the schema of the document says against the value."""
    whole = {**schema, "components": described()["components"]}
    return [f"{error.instance_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(value)]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_it_is_valid() -> None:
    OpenAPIV31SpecValidator(described()).validate()


def test_every_route_of_the_api_stands_in_it(tmp_path: Path) -> None:
    storage = storage_settings(tmp_path, f"sqlite:///{tmp_path}/none.db", f"unix://{tmp_path}/none.sock")
    app = create_app(ApiSettings.read({}), storage, channel_settings())
    assert all(isinstance(route, Route) for route in app.routes)
    served = {route.path for route in app.routes if isinstance(route, Route)}
    pages = {path for path in served if path.split("/")[1] == "console"}  # which are for people
    assert len(pages) > 5
    assert served - pages == {operation.path for operation in OPERATIONS}
    listed = {(method.upper(), path) for path, methods in described()["paths"].items() for method in methods}
    assert listed == {(operation.method, operation.shown_path) for operation in OPERATIONS}
    assert len({operation.operation_id for operation in OPERATIONS}) == len(OPERATIONS)


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    components = {
        f"#/components/{group}/{name}" for group in ("schemas", "examples") for name in described()["components"][group]
    }
    assert set(references(described())) == components


def test_descriptions_are_commonmark_and_nothing_is_deprecated() -> None:
    words = [schema.get("description", "") for schema in described()["components"]["schemas"].values()]
    assert not any("\n " in each or "``" in each for each in words)
    assert "deprecated" not in msgspec.json.encode(described()).decode()


@by_operation
def test_an_operation_names_its_scope_and_its_errors(operation: Operation) -> None:
    shown = operation_in(operation)
    assert shown["summary"]
    assert all(response["description"] for response in shown["responses"].values())
    assert {"400", "431", "500", "503"} <= set(shown["responses"])
    if operation.scope is not None:
        assert {"key": [operation.scope.value]} in shown["security"]
        assert operation.scope.value in shown["description"]
        assert {"401", "403"} <= set(shown["responses"])


@by_operation
def test_an_operation_has_an_example(operation: Operation) -> None:
    area = re.sub(r"[^a-z0-9]+", "-", operation.tag.lower()).strip("-")
    example = catalogue.by_tag()[area][operation.operation_id]
    assert (example.request is None) == (operation.request is None)
    written = {status for status, body in operation.responses.items() if body not in (None, str, dict[str, Any])}
    assert set(example.responses) == written
    assert set(example.query) <= {each["name"] for each in operation_in(operation)["parameters"]}
    assert set(example.headers) <= set(operation.headers)
    assert set(operation.path_names) <= set(catalogue.in_paths())


def test_no_example_outlives_its_operation() -> None:
    assert set(catalogue.examples()) == {operation.operation_id for operation in OPERATIONS}
    assert sum(len(area) for area in catalogue.by_tag().values()) == len(OPERATIONS)
    assert set(catalogue.in_paths()) == {name for operation in OPERATIONS for name in operation.path_names}


@by_operation
def test_an_example_is_what_the_types_say(operation: Operation) -> None:
    example = catalogue.examples()[operation.operation_id]
    shown = operation_in(operation)
    if operation.request is not None:
        msgspec.json.decode(msgspec.json.encode(example.request), type=operation.request)
        for content in shown["requestBody"]["content"].values():
            assert faults(content["schema"], content["example"]) == []
    if operation.query is not None:
        msgspec.convert(example.query, operation.query, strict=False)
    for parameter in shown["parameters"]:
        if "example" in parameter:
            assert faults(parameter["schema"], parameter["example"]) == []
    for status, answer in example.responses.items():
        again = msgspec.to_builtins(msgspec.convert(answer, operation.responses[status]))
        assert again == answer
        (content,) = shown["responses"][str(status)]["content"].values()
        assert faults(content["schema"], answer) == []


@by_operation
def test_an_error_is_what_its_schema_says_and_no_other(operation: Operation) -> None:
    for status, types in errors_of(operation).items():
        shown = operation_in(operation)["responses"][str(status)]
        if status in operation.responses:  # 503 of the readiness, which says more than a problem does
            continue
        # Two kinds in the "messages" dialect: what is refused before its path is read is a problem there, too.
        contents = list(shown["content"].values())
        assert sorted(name for content in contents for name in content["examples"]) == sorted(
            each.name for each in types
        )
        for content, example in ((each, inner) for each in contents for inner in each["examples"].values()):
            value = described()["components"]["examples"][example["$ref"].rpartition("/")[2]]["value"]
            assert faults(content["schema"], value) == []
            if "type" in value:
                assert faults(content["schema"], value | {"type": "/problems/another"}) != []


def test_every_type_of_problem_is_listed_and_explained() -> None:
    declared = {value for value in vars(problems).values() if isinstance(value, ProblemType)}
    assert declared | set(problems.REFUSALS.values()) == set(problems.ALL_TYPES)
    assert len({each.name for each in problems.ALL_TYPES}) == len(problems.ALL_TYPES)
    assert set(problem_help.BY_NAME) == {each.name for each in problems.ALL_TYPES}
    assert all(said.meaning and said.mend for said in problem_help.BY_NAME.values())
