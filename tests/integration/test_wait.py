"""``Prefer: wait`` and the commands on one message, over HTTP."""

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from models import ids
from models.ids import Kind
from models.session import Database
from models.store import claims, outcomes
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.vocabulary import Channel, FailureReason, Lane, Outcome, Scope, State
from tests.support.api import Api, Tenant
from tests.support.api_process import Line, api_process
from tests.support.waiting import wait_until

WORKER = UUID(int=1)


async def claim(database: Database) -> list[Claim]:
    async with database.write() as connection:
        return (await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, WORKER, 10))[0]


async def record(database: Database, claimed: Claim, state: State, outcome: Outcome, **more: Any) -> None:
    ended = Ended(
        message_id=claimed.id,
        token=claimed.token,
        run=claimed.run,
        started_at=claimed.claimed_at,
        state=state,
        outcome=outcome,
        **more,
    )
    async with database.write() as connection:
        await outcomes.record(connection, [ended])


async def body(tenant: Tenant, **fields: Any) -> dict[str, Any]:
    return {"contactId": await tenant.contact(), "channel": "EMAIL", "subject": "Hello", "body": "Hi"} | fields


async def test_the_answer_waits_until_the_message_is_sent(tenant: Tenant, database: Database) -> None:
    wanted = await body(tenant)
    headers = {"Prefer": "respond-async, wait=20", "Idempotency-Key": "k1"}
    answer = asyncio.create_task(tenant.call("POST", "/messages", json=wanted, headers=headers))
    (claimed,) = await wait_until(lambda: claim(database))
    repeated = asyncio.create_task(tenant.call("POST", "/messages", json=wanted, headers=headers))
    await record(database, claimed, State.DONE, Outcome.ACCEPTED)
    for said in (await answer, await repeated):
        assert (said.status_code, said.headers["preference-applied"]) == (200, "wait=20")
        assert (said.json()["status"], said.json()["warnings"]) == ("SENT", [])
        assert said.json()["id"] == ids.show(Kind.MESSAGE, claimed.id)


@pytest.mark.parametrize(
    ("more", "status", "reason"),
    [
        ({"reason": FailureReason.POLICY}, "FAILED", "policy"),
        ({"reason": FailureReason.ADDRESS_DEAD, "bounced": True, "dead_address": True}, "BOUNCED", "address_dead"),
    ],
)
async def test_a_failure_is_a_problem_that_carries_the_message(
    tenant: Tenant, database: Database, more: dict[str, Any], status: str, reason: str
) -> None:
    wanted = await body(tenant)
    answer = asyncio.create_task(tenant.call("POST", "/messages", json=wanted, headers={"Prefer": "wait=20"}))
    (claimed,) = await wait_until(lambda: claim(database))
    await record(database, claimed, State.FAILED, Outcome.PERMANENT, **more)
    said = await answer
    assert (said.status_code, said.headers["content-type"]) == (422, "application/problem+json")
    assert said.headers["preference-applied"] == "wait=20"
    problem = said.json()
    assert (problem["type"], problem["failureReason"]) == (f"/problems/{reason.replace('_', '-')}", reason)
    assert (problem["message"]["status"], problem["message"]["failureReason"]) == (status, reason)
    assert (await tenant.get(f"/messages/{problem['message']['id']}"))["status"] == status


async def test_when_the_time_is_up_the_status_is_what_it_is(tenant: Tenant) -> None:
    wanted = await body(tenant)
    began = time.monotonic()
    said = await tenant.call("POST", "/messages", json=wanted, headers={"Prefer": "wait=1"})
    assert time.monotonic() - began >= 1
    assert (said.status_code, said.json()["status"]) == (200, "QUEUED")
    assert said.headers["preference-applied"] == "wait=1"
    for ignored in ("wait=0", "wait=x", "respond-async"):
        said = await tenant.call("POST", "/messages", json=wanted, headers={"Prefer": ignored})
        assert (said.status_code, "preference-applied" in said.headers) == (200, False)
    refused = await tenant.call("POST", "/messages", json=wanted | {"channel": "PUSH"}, headers={"Prefer": "wait=9"})
    assert refused.status_code == 422
    assert "message" not in refused.json()


async def test_a_server_that_stops_lets_those_go_who_wait(tmp_path: Path, sqlite_url: str, redis_url: str) -> None:
    async with api_process(tmp_path, sqlite_url, redis_url) as running:
        api = Api(f"http://127.0.0.1:{running.port}", sqlite_url)
        tenant = await api.tenant()
        wanted = await body(tenant)
        line = Line(running.port, tenant.token)
        path = f"/api/workspaces/{tenant.workspace}/messages"
        waiting = asyncio.create_task(line.post(path, wanted, Prefer="wait=30"))

        async def stored() -> bool:
            return bool((await tenant.get("/messages"))["pagination"]["total"])

        await wait_until(stored)
        await api.close()
        running.process.send_signal(signal.SIGTERM)
        answer = await asyncio.wait_for(waiting, 25)  # it asked for 30
        assert (answer.status, answer.body["status"]) == (200, "QUEUED")
        await line.close()
        assert await running.ended() in (0, -signal.SIGTERM)


async def test_a_client_that_hangs_up_while_it_waits_leaves_its_message(api: Api, tenant: Tenant) -> None:
    content = json.dumps(await body(tenant)).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rsplit(":", 1)[1]))
    head = (
        f"POST /api/workspaces/{tenant.workspace}/messages HTTP/1.1\r\nHost: x\r\nPrefer: wait=30\r\n"
        f"Authorization: Bearer {tenant.token}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    writer.write(head.encode() + content)

    async def stored() -> bool:
        return bool((await tenant.get("/messages"))["pagination"]["total"])

    await wait_until(stored)
    writer.close()
    assert not await reader.read()
    # The server of the fixture ends only once no request is left: well before the 30 seconds are over.


async def test_the_commands(tenant: Tenant, database: Database) -> None:
    cancelled = (await tenant.send(await tenant.contact()))["id"]
    shown = await tenant.post(f"/messages/{cancelled}/cancel", None, 200)
    assert (shown["status"], shown["failureReason"], shown["sendAt"]) == ("FAILED", "cancelled", None)
    assert shown == await tenant.get(f"/messages/{cancelled}")
    again = await tenant.post(f"/messages/{cancelled}/cancel", None, 409)
    assert (again["type"], again["detail"]) == (
        "/problems/conflict",
        "Only a QUEUED message can be cancelled; this one is FAILED.",
    )
    retried = await tenant.post(f"/messages/{cancelled}/retry", None, 200)
    assert (retried["status"], retried["failureReason"], retried["failedAt"]) == ("QUEUED", None, None)

    (claimed,) = await claim(database)
    for command in ("cancel", "retry", "release", "fail"):
        assert "SENDING" in (await tenant.post(f"/messages/{cancelled}/{command}", None, 409))["detail"]
    await record(database, claimed, State.HELD, Outcome.UNKNOWN)
    assert [each["id"] for each in (await tenant.get("/messages", held="true"))["data"]] == [cancelled]
    assert "held" in (await tenant.post(f"/messages/{cancelled}/cancel", None, 409))["detail"]
    assert (await tenant.post(f"/messages/{cancelled}/release", None, 200))["status"] == "QUEUED"
    (claimed,) = await claim(database)
    await record(database, claimed, State.HELD, Outcome.UNKNOWN)
    failed = await tenant.post(f"/messages/{cancelled}/fail", None, 200)
    assert (failed["status"], failed["failureReason"], failed["held"]) == ("FAILED", "given_up", False)


async def test_a_retry_of_what_would_not_go_out_says_why(tenant: Tenant) -> None:
    message = (await tenant.send(await tenant.contact()))["id"]
    await tenant.post(f"/messages/{message}/cancel", None, 200)
    await tenant.post("/suppressions", {"channel": "EMAIL", "address": "ann@example.org"})
    assert (await tenant.post(f"/messages/{message}/retry", None, 422))["failureReason"] == "suppressed"
    assert (await tenant.get(f"/messages/{message}"))["status"] == "FAILED"


async def test_why(tenant: Tenant, database: Database) -> None:
    contact = await tenant.contact()
    message = (await tenant.send(contact, expiresAt="2099-01-01T00:00:00Z"))["id"]
    behind = (await tenant.send(contact))["id"]
    said = await tenant.get(f"/messages/{behind}/why")
    assert said == {
        "id": behind,
        "status": "QUEUED",
        "held": False,
        "gate": "lane",
        "because": "It is ready; 1 message comes before it in its lane.",
        "place": 1,
        "nextAttemptAt": None,
        "lastError": None,
        "attempts": 0,
        "worker": None,
        "sendingSince": None,
        "failureReason": None,
        "fault": None,
        "expiresAt": None,
    }
    first, _ = await claim(database)
    sending = await tenant.get(f"/messages/{message}/why")
    assert (sending["gate"], sending["worker"], sending["sendingSince"] is None) == ("worker", str(WORKER), False)
    assert sending["expiresAt"] == "2099-01-01T00:00:00.000Z"
    later = {"delay_ms": 60_000, "code": "451", "detail": "try later"}
    await record(database, first, State.QUEUED, Outcome.TRANSIENT, **later)
    retrying = await tenant.get(f"/messages/{message}/why")
    assert (retrying["gate"], retrying["attempts"], retrying["worker"]) == ("retry", 1, None)
    assert retrying["nextAttemptAt"] in retrying["because"]
    error = retrying["lastError"]
    assert (error["outcome"], error["code"], error["detail"]) == ("transient", "451", "try later")


async def test_commands_stay_in_their_workspace_and_scope(api: Api, tenant: Tenant) -> None:
    message = (await tenant.send(await tenant.contact()))["id"]
    other = await api.tenant()
    reader = await api.tenant({Scope.MESSAGES_READ}, of=tenant)
    unknown = "msg_01jz6m4x8e7s3v9k2q5n0w1r4t"
    for method, name in (("GET", "why"), *(("POST", name) for name in ("cancel", "retry", "release", "fail"))):
        strange = await other.call(method, f"/messages/{message}/{name}")
        assert strange.status_code == 404
        for wrong in (unknown, "msg_1", "ct_" + message[4:]):
            assert (await tenant.call(method, f"/messages/{wrong}/{name}")).content == strange.content
        assert (await reader.call(method, f"/messages/{message}/{name}")).status_code == (
            403 if method == "POST" else 200
        )
    assert (await tenant.get(f"/messages/{message}"))["status"] == "QUEUED"
    assert (await tenant.call("POST", f"/messages/mesg_{message[4:]}/cancel")).status_code == 200
