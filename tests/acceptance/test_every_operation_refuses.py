"""Bad input, by hand, into every operation with a body: a clear 4xx that points at the place, and nothing is stored."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import msgspec
import pytest
from jsonschema_rs import Draft202012Validator
from sqlalchemy import func, select

from api_shim.openapi import document
from api_shim.operations import Operation
from api_shim.routing import OPERATIONS
from models.session import Database
from models.tables import metadata
from tests.support.api import Api, serving
from tests.support.example_world import World, example_of
from tests.support.people import Browser, browser

pytestmark = pytest.mark.timeout(300)

WRITING: Final = [each for each in OPERATIONS if each.request not in (None, str) and each.scope is not None]
BEFORE_A_KEY: Final = [each for each in OPERATIONS if each.request is not None and each.path.startswith("/api/auth/")]
ONE_BY_ONE: Final = [each for each in WRITING if isinstance(each.request, type)]
PARTS: Final = 6  # so that several processes share the work
# Values to be tried in every place; those that its schema allows are not sent.
VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    "no such word",
    [],
    [None],
    [[]],
    {},
    {"a": 1},
    "x" * 70_000,
)
# What ends in a header of a mail or of a request, wherever it is written.
IN_HEADERS: Final = {"to", "email", "topic", "filename", "contentType", "contentId", "webhookUrl", "endpoint"}
BROKEN_LINES: Final = ("one\r\nBcc: two@example.org", "one\ntwo", "one\rtwo", "one\u2028two")


class Place(NamedTuple):
    """A place in a body: the steps to it, its schema, and what has to stand beside each step."""

    steps: tuple[str | int, ...]
    schema: Mapping[str, Any]
    beside: tuple[Mapping[str, Any], ...]

    @property
    def pointer(self) -> str:
        return "#" + "".join(f"/{step}" for step in self.steps)


class Bad(NamedTuple):
    """A body, and the place that the answer has to point at; None where there is none to point at."""

    name: str
    content: bytes
    pointer: str | None
    status: tuple[int, ...] = (400,)


@pytest.fixture
async def api(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with serving(tmp_path, database_url, redis_url) as running:
        yield running


async def counts(database: Database) -> dict[str, int]:
    async with database.read() as connection:
        return {
            table.name: int(await connection.scalar(select(func.count()).select_from(table)) or 0)
            for table in metadata.sorted_tables
        }


# --- The places of a body, from the document


@cache
def described() -> dict[str, Any]:
    written = msgspec.json.encode(document(OPERATIONS, "https://wireroom.example.org"))
    return msgspec.json.decode(written, type=dict[str, Any])


def allows(schema: Mapping[str, Any], value: Any) -> bool:
    if schema.get("contentEncoding") == "base64" and isinstance(value, str):
        return value != "no such word"
    return validator(json.dumps(schema)).is_valid(value)


@cache
def validator(schema: str) -> Draft202012Validator:
    """Of a schema of the document, as JSON; to make one takes as long as a request."""
    return Draft202012Validator({**json.loads(schema), "components": described()["components"]}, validate_formats=True)


def forms(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schema without references and choices: each thing that the value may be."""
    if "$ref" in schema:
        yield from forms(described()["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    for choice in schema.get("anyOf", ()):
        yield from forms(choice)
    if "type" in schema or "enum" in schema:
        yield schema


def sample(schema: Mapping[str, Any]) -> Any:
    """A small value that the schema allows."""
    form = next(form for form in forms(schema) if form.get("type") != "null")
    if "enum" in form:
        return form["enum"][0]
    if form["type"] == "object":
        return {name: sample(form["properties"][name]) for name in form.get("required", ())}
    return {"string": "abcd", "integer": 1, "number": 1, "boolean": True, "array": []}[form["type"]]


def places(
    schema: Mapping[str, Any], steps: tuple[str | int, ...] = (), beside: tuple[Mapping[str, Any], ...] = ()
) -> Iterator[Place]:
    """Every place inside of a value of the schema, to a depth of five steps."""
    for form in forms(schema) if len(steps) < 5 else ():
        for name, inner in form.get("properties", {}).items():
            needed = {each: sample(form["properties"][each]) for each in form.get("required", ()) if each != name}
            yield Place((*steps, name), inner, (*beside, needed))
            yield from places(inner, (*steps, name), (*beside, needed))
        if isinstance(form.get("items"), dict):
            yield Place((*steps, 0), form["items"], (*beside, {}))
            yield from places(form["items"], (*steps, 0), (*beside, {}))


def put(body: Any, place: Place, value: Any, *below: str) -> Any:
    """A copy of the body with a value at the place, or ``below`` it; what leads to it is made where it is missing."""
    return _put(body, [*place.steps, *below], [*place.beside, *({} for _ in below)], value)


def _put(body: Any, steps: list[str | int], beside: list[Mapping[str, Any]], value: Any) -> Any:
    if not steps:
        return value
    step, *rest = steps
    if isinstance(step, int):
        return [_put(body[0] if isinstance(body, list) and body else None, rest, beside[1:], value)]
    there = dict(beside[0]) | (body if isinstance(body, dict) else {})
    # Before all others: what is wrong is found in the order of the body.
    return {step: _put(there.pop(step, None), rest, beside[1:], value), **there}


# --- What is wrong


def wrong_values(body: Any, place: Place) -> Iterator[Bad]:
    for value in VALUES:
        if not allows(place.schema, value):
            yield Bad(f"{value!r:.40}", json.dumps(put(body, place, value)).encode(), place.pointer)


def is_text(place: Place) -> bool:
    return any(form.get("type") == "string" and "enum" not in form for form in forms(place.schema))


def wrong_texts(body: Any, place: Place, *, kept: bool) -> Iterator[Bad]:
    yield Bad("NUL", json.dumps(put(body, place, "a\0b")).encode(), place.pointer)
    for half in ("\ud800", "\udfffx"):
        yield Bad("half a pair", json.dumps(put(body, place, half)).encode(), place.pointer)
    if kept and place.steps[-1] in IN_HEADERS:
        for value in BROKEN_LINES:
            yield Bad("a broken line", json.dumps(put(body, place, value)).encode(), place.pointer, (400, 422))


def wrong_lists(body: Any, place: Place) -> Iterator[Bad]:
    for form in forms(place.schema):
        if form.get("type") == "array":
            assert form.get("maxItems", 10_001) <= 10_000, f"{place.pointer} has no bound"
            item = next((each["enum"][0] for each in forms(form["items"]) if "enum" in each), "x")
            yield Bad("10,001 items", json.dumps(put(body, place, [item] * 10_001)).encode(), place.pointer)


def deep(levels: int, kind: str) -> str:
    return "[" * levels + "]" * levels if kind == "[" else '{"a":' * levels + "1" + "}" * levels


def wrong_wholes(body: Any) -> Iterator[Bad]:
    """What is no document, or none that can be read in one way only."""
    raw = json.dumps(body).encode()
    for kind in "[{":
        for levels in (40, 10_000):
            yield Bad("nests", raw[:-1] + f', "zzz": {deep(levels, kind)}}}'.encode(), None)
            yield Bad("nests alone", deep(levels, kind).encode(), None)
    yield Bad("digits", raw[:-1] + b', "zzz": ' + b"9" * 100_000 + b"}", None)
    for encoding in ("utf-16", "utf-16-le", "utf-32"):
        yield Bad(encoding, raw.decode().encode(encoding), None)
    yield Bad("latin-1", '{"é": 1}'.encode("latin-1"), None)
    contents = [
        b"",
        b" ",
        raw + raw,
        raw[:-1] + b",}",
        b"NaN",
        b"\xef\xbb\xbf" + raw,
        raw[:-1],
        b'"x"',
        b"null",
        b"[[]]",
    ]
    for content in contents:
        yield Bad(f"{content[:6]!r} to {content[-6:]!r}", content, None)
    yield Bad("1 MiB + 1", raw + b" " * ((1 << 20) + 1 - len(raw)), None, (413,))


def wrong_names(body: Any, operation: Operation) -> Iterator[Bad]:
    raw = json.dumps(body).encode()
    yield Bad("unknown", raw[:-1] + b', "nameOfNobody": 1}', "#/nameOfNobody")
    yield Bad("prototype", b'{"__proto__": {}, ' + raw[1:], "#/__proto__")
    for name, value in body.items():
        again = f"{json.dumps(name)}: {json.dumps(value)}".encode()
        yield Bad("twice", raw[:-1] + b", " + again + b"}", f"#/{name}")
    schema = next(forms({"$ref": f"#/components/schemas/{operation.request.__name__}"}))
    for name in schema.get("required", ()):
        short = {key: value for key, value in body.items() if key != name}
        yield Bad("missing", json.dumps(short).encode(), f"#/{name}")


def free_places(body: Any, place: Place) -> Iterator[Bad]:
    """Mappings that take anything take no more of it than can be kept."""
    if any(form.get("type") == "object" and "properties" not in form for form in forms(place.schema)):
        number = json.dumps(put(body, place, "@", "n")).replace('"@"', "9" * 100_000).encode()
        yield Bad("10⁵ digits", number, place.pointer)
        for levels in (40, 10_000):
            nest = json.dumps(put(body, place, "@", "n")).replace('"@"', deep(levels, "[")).encode()
            yield Bad("nests inside", nest, None)
        # Where only certain names are known, the place of the mapping is named.
        inside = f"{place.pointer}/n" if allows(place.schema, {"n": "x"}) else place.pointer
        yield Bad("NUL inside", json.dumps(put(body, place, "a\0b", "n")).encode(), inside)
        yield Bad("NUL in a name", json.dumps(put(body, place, "ab", "\0n")).encode(), place.pointer)
        twice = json.dumps(put(body, place, "1", "n")).replace('"n": "1"', '"n": "1", "n": "2"').encode()
        yield Bad("twice inside", twice, inside)


def everything_wrong(body: Any, operation: Operation) -> Iterator[Bad]:
    yield from wrong_wholes(body)
    yield from wrong_names(body, operation)
    for place in places({"$ref": f"#/components/schemas/{operation.request.__name__}"}):
        yield from wrong_values(body, place)
        yield from free_places(body, place)
        yield from wrong_lists(body, place)
        if is_text(place):
            yield from wrong_texts(body, place, kept=operation.scope is not None)


# --- And how it is answered


def fault(bad: Bad, operation: Operation, answer: httpx.Response) -> str | None:
    """What is wrong with the answer; None where nothing is."""
    said = f"{operation.operation_id}: {bad.name} at {bad.pointer}: {answer.status_code} {answer.text[:300]}"
    if answer.status_code not in bad.status:
        return said
    problem = answer.json()
    if not problem.get("detail") and not problem.get("errors"):
        return said
    pointers = [error.get("pointer", "") for error in problem.get("errors", ())]
    if bad.pointer is not None and not any(pointer.startswith(bad.pointer) for pointer in pointers):
        return said
    return None


async def faults(world: World, operation: Operation, client: httpx.AsyncClient | None = None) -> list[str]:
    body = world.real(example_of(operation).request)
    found: list[str] = []
    for bad in everything_wrong(body, operation):
        headers = {"Content-Type": "application/json"} | {name: f"another-{len(found)}" for name in operation.headers}
        answer = await world.call(operation, client=client, content=bad.content, headers=headers)
        wrong = fault(bad, operation, answer)
        found += [] if wrong is None else [wrong]
    return found


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_whatever_is_wrong_is_named_and_nothing_is_stored(api: Api, database: Database, part: int) -> None:
    world = World(await api.tenant())
    await world.build()
    before = await counts(database)
    found = [fault for each in ONE_BY_ONE[part::PARTS] for fault in await faults(world, each)]
    assert not found, "\n".join(found)
    assert await counts(database) == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_same_of_those_who_sign_in(api: Api, database: Database) -> None:
    world = World(await api.tenant())
    await world.build()
    async with browser(api.url) as person:
        await _sign_in(world, person)
        before = await counts(database)
        found = [fault for each in BEFORE_A_KEY for fault in await faults(world, each, person)]
        assert not found, "\n".join(found)
        assert await counts(database) == before


async def _sign_in(world: World, person: Browser) -> None:
    (operation,) = (each for each in OPERATIONS if each.path == "/api/auth/sign-in")
    example = world.real(example_of(operation).request)
    assert (await person.sign_in(example["email"], example["password"])).status_code == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_is_wrong_with_a_whole_batch(api: Api, database: Database) -> None:
    world = World(await api.tenant())
    await world.build()
    before = await counts(database)
    (operation,) = (each for each in WRITING if each.path.endswith("/messages/batch"))
    item = json.dumps(world.real(example_of(operation).request)[0])
    wholes = {
        "10,001 items": (b"[" + b",".join([b"{}"] * 10_001) + b"]", 413),
        "16 MiB + 1": (b"[" + b" " * (16 << 20), 413),
        "an object": (item.encode(), 400),
        "nests": (deep(10_000, "[").encode(), 400),
        "utf-16": (f"[{item}]".encode("utf-16"), 400),
        "cut off": (f"[{item}".encode(), 400),
    }
    for name, (content, status) in wholes.items():
        headers = {"Content-Type": "application/json"}
        answer = await world.call(operation, content=content, headers=headers)
        assert answer.status_code == status, f"{name}: {answer.text[:300]}"
    assert await counts(database) == before
