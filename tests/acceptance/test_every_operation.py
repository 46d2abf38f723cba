"""What holds for every operation of the table: it answers as its example says, to its own callers and to no others."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import select

from api_shim.examples import catalogue
from api_shim.operations import Operation
from api_shim.routing import OPERATIONS
from models import ids
from models.ids import Kind
from models.secrets import new_token
from models.session import Database
from models.tables import api_keys, metadata
from models.vocabulary import Scope
from tests.support.api import Api, Tenant, serving
from tests.support.example_world import World, example_of, is_id, kinds_in
from tests.support.no_tls import NO_TLS
from tests.support.people import Browser, browser, person

pytestmark = pytest.mark.timeout(300)

_COMES_AND_GOES: Final = {api_keys.c.last_used_at}
_IDEMPOTENCY: Final = "Idempotency-Key"
_keys = count(1)


@pytest.fixture
async def api(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with serving(tmp_path, database_url, redis_url) as running:
        yield running


async def world_in(api: Api) -> World:
    world = World(await api.tenant())
    await world.build()
    return world


def name_of(answer: httpx.Response) -> str:
    return f"{answer.request.method} {answer.request.url} {answer.status_code} {answer.text[:300]}"


def unlike(operation: Operation) -> dict[str, str]:
    """A header that makes the request no repetition of another, where that would be answered otherwise."""
    return {_IDEMPOTENCY: f"key-{next(_keys)}"} if _IDEMPOTENCY in operation.headers else {}


# --- Examples


@asynccontextmanager
async def _caller(world: World, operation: Operation) -> AsyncIterator[httpx.AsyncClient]:
    """Who makes the request of the example: the key, or the person whom another example has made."""
    if not operation.needs_session:
        yield world.tenant.root
        return
    async with browser(str(world.tenant.root.base_url)) as person:
        await _sign_in(world, person)
        yield person


async def _sign_in(world: World, person: Browser) -> None:
    (operation,) = (each for each in OPERATIONS if each.path == "/api/auth/sign-in")
    example = world.real(example_of(operation).request)
    assert (await person.sign_in(example["email"], example["password"])).status_code == 200


def in_order() -> list[Operation]:
    """The operations as one world can see them all: what removes comes last, the part before what it belongs to."""
    removing = [operation for operation in OPERATIONS if operation.method == "DELETE"]
    return [*(operation for operation in OPERATIONS if operation.method != "DELETE"), *reversed(removing)]


async def test_each_example_is_answered_as_the_document_says(api: Api, database_url: str) -> None:
    world = await world_in(api)
    await person(database_url, world.tenant.workspace)  # an admin who stays: the last one cannot be removed
    for operation in in_order():
        example = example_of(operation)
        if operation.operation_id in world.made:
            answer = world.made[operation.operation_id]
        else:
            async with _caller(world, operation) as client:
                answer = await world.call(operation, client=client)
        if example.needs:
            assert answer.status_code in {operation.status, 401, 404, 409}, name_of(answer)
            continue
        assert answer.status_code in operation.responses, name_of(answer)
        documented = example.responses.get(answer.status_code)
        if documented is not None:
            assert set(answer.json()) == set(documented), name_of(answer)


# --- Other workspaces


async def dump(database: Database) -> dict[str, list[Any]]:
    """All that is stored, but for what changes by asking."""
    async with database.read() as connection:
        return {
            table.name: sorted(
                map(repr, await connection.execute(select(*[each for each in table.c if each not in _COMES_AND_GOES])))
            )
            for table in metadata.sorted_tables
        }


def elsewhere(value: str, other: World) -> tuple[str, str]:
    """An id of the examples as one of another world, and as one that nobody has."""
    nobody = World(other.tenant)
    nobody.ids = {kind: ids.encode(ids.new_id()) for kind in Kind}
    return other.real(value), nobody.real(value)


async def alike(world: World, operation: Operation, *requests: dict[str, Any]) -> httpx.Response:
    """The answer, which all the requests have in common, byte by byte."""
    answers = [await world.call(operation, headers=unlike(operation), **request) for request in requests]
    first, *others = answers
    for other in others:
        assert (other.status_code, other.content) == (first.status_code, first.content), name_of(other)
        assert {**other.headers, "date": ""} == {**first.headers, "date": ""}
    return first


async def test_another_workspace_is_as_good_as_none(api: Api, database: Database) -> None:
    world, other = await world_in(api), await world_in(api)
    before = await dump(database)
    seen = 0
    for operation in OPERATIONS:
        if operation.scope is None:
            continue
        for name in filter(is_id, operation.path_names):
            theirs, nobodys = elsewhere(catalogue.in_paths()[name], other)
            assert theirs != nobodys, f"nothing was made that {name} could name"
            urls = [world.path(operation, **{name: each}) for each in (theirs, nobodys)]
            answer = await alike(world, operation, *({"url": url} for url in urls))
            assert answer.status_code == 404, name_of(answer)
            seen += 1
    assert seen > len(OPERATIONS) // 2
    assert await dump(database) == before


def replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {name: replaced(each, old, new) for name, each in value.items()}
    if isinstance(value, list):
        return [replaced(each, old, new) for each in value]
    return value.replace(old, new) if isinstance(value, str) else value


def id_texts(value: Any) -> Iterator[str]:
    """The texts of a JSON value that hold an id."""
    if isinstance(value, str) and kinds_in(value):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from id_texts(each)


async def test_ids_of_another_workspace_in_bodies_and_filters_are_unknown(api: Api, database: Database) -> None:
    world, other = await world_in(api), await world_in(api)
    before = await dump(database)
    seen = 0
    for operation in OPERATIONS:
        if operation.scope is None:
            continue
        example = example_of(operation)
        for text in set(id_texts(example.request)):
            bodies = [replaced(world.real(example.request), world.real(text), each) for each in elsewhere(text, other)]
            answer = await alike(world, operation, *({"json": body} for body in bodies))
            assert answer.status_code in {200, 404, 422}, name_of(answer)
            assert answer.status_code != 200 or '"problem"' in answer.text, name_of(answer)
            seen += 1
        for name, value in example.query.items():
            if isinstance(value, str) and kinds_in(value):
                queries = [{**world.real(dict(example.query)), name: each} for each in elsewhere(value, other)]
                answer = await alike(world, operation, *({"params": query} for query in queries))
                assert answer.status_code == 200, name_of(answer)
                listed = answer.json()
                assert (listed.get("data") or listed.get("items") or []) == []
                seen += 1
    assert seen > 5
    assert await dump(database) == before


# --- Scopes and keys


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_key_without_the_scope_is_refused_and_one_with_it_alone_is_not(api: Api, scope: Scope) -> None:
    world = await world_in(api)
    without = await api.tenant(set(Scope) - {scope}, of=world.tenant)
    alone = await api.tenant({scope}, of=world.tenant)
    for operation in OPERATIONS:
        if operation.scope is scope:
            refused = await world.call(operation, client=without.root)
            assert refused.status_code == 403, name_of(refused)
            assert scope.value in refused.text or operation.short_errors, name_of(refused)
    for operation in in_order():
        if operation.scope is scope:
            allowed = await world.call(operation, client=alone.root, headers=unlike(operation))
            assert allowed.status_code != 401, name_of(allowed)
            assert allowed.status_code != 403 or "This needs the scope" not in allowed.text, name_of(allowed)
        elif operation.scope is not None:
            refused = await world.call(operation, client=alone.root)
            assert refused.status_code == 403, name_of(refused)


async def _bad_keys(api: Api, tenant: Tenant) -> list[dict[str, str]]:
    expired = await api.tenant(of=tenant, expires_at=int(time.time() * 1000) - 1)
    revoked = await tenant.post("/keys", {"name": "revoked", "scopes": [scope.value for scope in Scope]})
    assert (await tenant.call("DELETE", f"/keys/{revoked['id']}")).status_code == 204
    tokens = [expired.token, revoked["token"], new_token("wr_live_")[0], "wr_live_", tenant.token[:-1], "x" * 5000]
    bad = [{"Authorization": f"Bearer {token}"} for token in tokens]
    return [{}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {tenant.token}"}, *bad]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_no_operation_takes_a_bad_key(api: Api) -> None:
    world = await world_in(api)
    async with httpx.AsyncClient(base_url=api.url, trust_env=False, verify=NO_TLS, timeout=20) as anybody:
        bad = await _bad_keys(api, world.tenant)
        for operation in OPERATIONS:
            if operation.scope is None and not operation.needs_session:
                continue
            answers = [await world.call(operation, client=anybody, headers=headers) for headers in bad]
            assert {answer.status_code for answer in answers} == {401}, [name_of(answer) for answer in answers]
            assert len({answer.content for answer in answers}) == 1, operation.operation_id
            assert all("www-authenticate" in answer.headers for answer in answers), operation.operation_id
