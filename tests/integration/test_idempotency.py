"""One idempotency key makes one message, whoever asks at the same time and whatever dies in between."""

import asyncio
import itertools
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import func, select, text

from models.session import Database
from models.tables import idempotency_keys, message_details, messages, workspaces
from tests.support.api import Api, Tenant
from tests.support.api_process import Answer, ApiProcess, Line, api_process

KEYS: Final = int(os.environ.get("TEST_IDEMPOTENCY_KEYS", "50"))
CLIENTS: Final = 64
IN_FLIGHT: Final = 64


class Crowd:
    """A workspace with one contact, asked over raw connections."""

    def __init__(self, tenant: Tenant, contact: str) -> None:
        self.token = tenant.token
        self._path = f"/api/workspaces/{tenant.workspace}/messages"
        self._body = {"contactId": contact, "channel": "EMAIL", "subject": "Hello", "body": "Good morning"}

    async def send(self, line: Line, key: str, **fields: Any) -> Answer:
        """One request under a key."""
        return await line.post(self._path, self._body | fields, Idempotency_Key=key)

    async def insist(self, line: Line, key: str) -> tuple[Answer, int]:
        """As a client should: again as long as the first request is in flight. Returns how often it was."""
        for refused in itertools.count():
            answer = await self.send(line, key)
            if answer.status != 409:
                return answer, refused
            assert answer.headers["retry-after"] == "1"
            assert answer.body["type"] == "/problems/idempotency-in-flight"
            await asyncio.sleep(0)
        raise AssertionError


async def crowd_of(running: ApiProcess, database_url: str) -> Crowd:
    api = Api(f"http://127.0.0.1:{running.port}", database_url)
    tenant = await api.tenant()
    contact = await tenant.contact()
    await api.close()
    return Crowd(tenant, contact)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def counted(database: Database) -> tuple[int, int]:
    async with database.read() as connection:
        return (
            await connection.scalar(select(func.count()).select_from(messages)) or 0,
            await connection.scalar(select(func.count()).select_from(idempotency_keys)) or 0,
        )


@pytest.mark.timeout(400)  # thousands of requests, on a machine that may be busy
async def test_many_clients_of_two_processes_make_one_message_a_key(
    stack: AsyncExitStack, tmp_path: Path, database_url: str, database: Database, redis_url: str
) -> None:
    both = [await stack.enter_async_context(api_process(tmp_path, database_url, redis_url)) for _ in range(2)]
    crowd = await crowd_of(both[0], database_url)
    keys = [f"order-{number}" for number in range(KEYS)]
    seen: Counter[int] = Counter()
    made: dict[str, set[str]] = {key: set() for key in keys}
    fresh: Counter[str] = Counter()

    async def client(number: int) -> None:
        async with Line(both[number % 2].port, crowd.token) as line:
            for key in keys:
                # One of them says something else under every key.
                answer = await crowd.send(line, key, subject="Hello" if number else "Goodbye")
                seen[answer.status] += 1
                if answer.status == 200:
                    made[key].add(answer.body["id"])
                    fresh[key] += "idempotent-replayed" not in answer.headers

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    assert set(seen) <= {200, 409, 422}
    assert [key for key, ids in made.items() if len(ids) != 1] == []
    assert [key for key in keys if fresh[key] != 1] == []
    assert await counted(database) == (KEYS, KEYS)


async def test_a_key_whose_request_has_not_ended_is_in_flight(tenant: Tenant, database: Database) -> None:
    """A writer stands still in the midst of its transaction; whoever comes with its key is told to come again."""
    contact = await tenant.contact()
    body = {"contactId": contact, "channel": "EMAIL", "subject": "Hello", "body": "Hi"}

    async def send(key: str) -> Any:
        return await tenant.call("POST", "/messages", json=body, headers={"Idempotency-Key": key})

    async with database.write() as connection:
        if not database.is_sqlite:
            await connection.execute(text("LOCK TABLE messages IN SHARE MODE"))
        both = {asyncio.create_task(send("k1")), asyncio.create_task(send("k1"))}
        done, (first,) = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        (refused,) = [task.result() for task in done]
        assert (refused.status_code, refused.headers["retry-after"]) == (409, "1")
        assert refused.json()["type"] == "/problems/idempotency-in-flight"
    made = await first
    assert made.status_code == 200
    replayed = await send("k1")
    assert (replayed.status_code, replayed.headers["idempotent-replayed"]) == (200, "true")
    assert replayed.json()["id"] == made.json()["id"]


async def test_a_key_without_its_message_does_not_speak_of_the_contact(tenant: Tenant, database: Database) -> None:
    """Nothing of ours removes a message; where somebody did, it is no fault of the request's."""
    contact = await tenant.contact()
    body = {"contactId": contact, "channel": "EMAIL", "subject": "Hello", "body": "Good morning"}

    async def send() -> tuple[int, str | None]:
        answer = await tenant.call("POST", "/messages", json=body, headers={"Idempotency-Key": "k"})
        return answer.status_code, answer.headers.get("idempotent-replayed")

    assert [await send(), await send()] == [(200, None), (200, "true")]
    async with database.write() as connection:
        for table in (message_details, messages):
            await connection.execute(table.delete())
    assert await send() == (500, None)


async def test_a_batch_in_flight_is_refused_as_a_whole(tenant: Tenant) -> None:
    contact = await tenant.contact()
    body = [{"contactId": contact, "channel": "EMAIL", "body": "Hi"}] * 300

    async def send() -> Any:
        return await tenant.call("POST", "/messages/batch", json=body, headers={"Idempotency-Key": "b1"})

    answers = await asyncio.gather(*(send() for _ in range(4)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert sum(answer.status_code == 200 and "idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert (await tenant.get("/messages"))["pagination"]["total"] == 300


async def test_a_process_that_stands_still_holds_up_its_own_keys_alone(
    stack: AsyncExitStack, tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    running = await stack.enter_async_context(api_process(tmp_path, postgres_url, redis_url))
    crowd = await crowd_of(running, postgres_url)
    database = Database.connect(postgres_url, pool_size=1)
    stack.push_async_callback(database.close)
    async with database.read() as connection:
        workspace_id = await connection.scalar(select(workspaces.c.id))
    async with database.engine.begin() as connection:  # what another process does in the midst of its transaction
        await connection.execute(
            idempotency_keys.insert().values(
                workspace_id=workspace_id, key="held", fingerprint=b"f" * 32, message_id=workspace_id, created_at=1
            )
        )
        lines = [Line(running.port, crowd.token) for _ in range(20)]
        names = ["held" if number == 0 else f"free-{number}" for number in range(20)]
        answers = await asyncio.gather(*(crowd.send(line, name) for line, name in zip(lines, names, strict=True)))
        assert [answer.status for answer in answers] == [409] + [200] * 19
        assert answers[0].headers["retry-after"] == "1"
        await connection.rollback()
    assert (await crowd.send(lines[0], "held")).status == 200
    for line in lines:
        await line.close()


@pytest.mark.timeout(400)  # on a busy machine all have their answers before the kill comes, in most rounds
async def test_killed_between_commit_and_answer_the_repeat_makes_no_second_message(
    tmp_path: Path, database_url: str, database: Database, redis_url: str
) -> None:
    """The server is killed when the first answer arrives: the others of its commit are stored and never answered."""
    crowd: Crowd | None = None
    keys = itertools.count()
    sent = 0
    lost = 0  # stored, and not answered before the kill
    for number in range(30):
        round_ = [f"order-{next(keys)}" for _ in range(IN_FLIGHT)]
        async with api_process(tmp_path, database_url, redis_url) as running:
            crowd = crowd or await crowd_of(running, database_url)
            answered = await _until_killed(crowd, running, round_)
        async with api_process(tmp_path, database_url, redis_url) as running:
            again = await _all(crowd, running, round_)
        sent += IN_FLIGHT
        assert {answer.status for answer in again.values()} == {200}
        assert {key: again[key].body["id"] for key in answered} == {
            key: each.body["id"] for key, each in answered.items()
        }
        assert await counted(database) == (sent, sent)
        lost += sum("idempotent-replayed" in answer.headers for key, answer in again.items() if key not in answered)
        if lost >= 20 or (lost and number >= 5):
            break
    assert lost > 0  # else no round met the moment that this is about


async def _until_killed(crowd: Crowd, running: ApiProcess, keys: list[str]) -> dict[str, Answer]:
    """Send all at once and kill the server at the first answer; returns those that came all the same."""
    answered: dict[str, Answer] = {}

    async def one(key: str) -> None:
        line = Line(running.port, crowd.token)
        try:
            answered[key] = await crowd.send(line, key)
        except (OSError, EOFError):
            pass
        finally:
            running.process.kill()
            await line.close()

    await asyncio.gather(*map(one, keys))
    assert {answer.status for answer in answered.values()} <= {200}
    return answered


async def _all(crowd: Crowd, running: ApiProcess, keys: list[str]) -> dict[str, Answer]:
    lines = [Line(running.port, crowd.token) for _ in keys]
    answers = await asyncio.gather(*(crowd.insist(line, key) for line, key in zip(lines, keys, strict=True)))
    for line in lines:
        await line.close()
    return {key: answer for key, (answer, _) in zip(keys, answers, strict=True)}
