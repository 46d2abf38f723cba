"""The client against a peer that answers as it is told; against the API itself it is tested in tests/integration."""

import ast
import asyncio
import base64
import hmac
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from channels import standard_webhooks
from tests.support.http_sink import HttpSink
from wireroom import client
from wireroom.client import AsyncWireroom, BadSignature, Busy, Conflict, NewMessage, NoAnswer, Refused, Wireroom, verify
from wireroom.ports import free_port

TOKEN, WORKSPACE = "wr_live_x", "ws_x"
MESSAGES = f"/api/workspaces/{WORKSPACE}/messages"
CANCEL = f"{MESSAGES}/msg_1/cancel"
MESSAGE: NewMessage = {"contactId": "ct_1", "channel": "EMAIL", "body": "Hello"}
ACCEPTED = b'{"id": "msg_1"}'
PROBLEM = {"Content-Type": "application/problem+json"}

Call = Callable[..., Awaitable[Any]]


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """Calls a method of either client: its URL, the method's name, the arguments."""

    async def asynchronous(url: str, name: str, *arguments: Any, tries: int = 6, **more: Any) -> Any:
        async with AsyncWireroom(TOKEN, WORKSPACE, url, tries=tries) as wireroom:
            return await getattr(wireroom, name)(*arguments, **more)

    def blocking(url: str, name: str, *arguments: Any, tries: int = 6, **more: Any) -> Any:
        with Wireroom(TOKEN, WORKSPACE, url, tries=tries) as wireroom:
            return getattr(wireroom, name)(*arguments, **more)

    async def in_thread(*arguments: Any, **more: Any) -> Any:
        return await asyncio.to_thread(blocking, *arguments, **more)

    return asynchronous if request.param == "async" else in_thread


def keys(sink: HttpSink) -> list[str]:
    return [request.headers["Idempotency-Key"] for request in sink.received_at(MESSAGES)]


async def test_what_was_not_answered_is_sent_again_under_its_key(web_sink: HttpSink, call: Call) -> None:
    web_sink.script(200, body=ACCEPTED)
    web_sink.script(429, headers={"Retry-After": "0"}, times=1)
    web_sink.script(503, times=1)
    web_sink.script(drop="after", times=1)
    in_flight = json.dumps({"type": "/problems/idempotency-in-flight"}).encode()
    web_sink.script(409, headers=PROBLEM | {"Retry-After": "0"}, body=in_flight, times=1)
    assert await call(web_sink.url(""), "send", MESSAGE) == {"id": "msg_1"}
    assert len(keys(web_sink)) == 5
    assert len(set(keys(web_sink))) == 1
    assert web_sink.requests[0].json() == MESSAGE
    assert web_sink.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
    await call(web_sink.url(""), "send", MESSAGE)
    await call(web_sink.url(""), "send", MESSAGE, key="order-1")
    assert len(set(keys(web_sink))) == 3
    assert keys(web_sink)[-1] == "order-1"


async def test_retry_after_is_heeded_and_too_much_of_it_is_the_callers(web_sink: HttpSink, call: Call) -> None:
    web_sink.script(200, body=ACCEPTED)
    web_sink.script(503, headers={"Retry-After": "1"}, times=1)
    await call(web_sink.url(""), "send", MESSAGE)
    first, second = web_sink.requests
    assert 1.0 <= second.at - first.at < 5.0
    web_sink.script(503, headers={"Retry-After": "3600"})
    with pytest.raises(Busy) as raised:
        await call(web_sink.url(""), "send", MESSAGE)
    assert (raised.value.retry_after, len(web_sink.requests)) == (3600.0, 3)


async def test_tries_are_bounded(web_sink: HttpSink, call: Call) -> None:
    web_sink.script(503, headers={"Retry-After": "0"})
    with pytest.raises(Busy):
        await call(web_sink.url(""), "get", "msg_1", tries=3)
    assert len(web_sink.requests) == 3
    with pytest.raises(NoAnswer, match=r"127\.0\.0\.1:\d+ \(ConnectError\)"):
        await call(f"http://127.0.0.1:{free_port()}", "get", "msg_1", tries=2)


async def test_a_command_whose_answer_got_lost_is_not_given_twice(web_sink: HttpSink, call: Call) -> None:
    web_sink.script(drop="after")
    with pytest.raises(NoAnswer):
        await call(web_sink.url(""), "cancel", "msg_1")
    assert len(web_sink.received_at(CANCEL)) == 1
    web_sink.script(200, body=ACCEPTED)
    web_sink.script(429, headers={"Retry-After": "0"}, times=1)
    await call(web_sink.url(""), "cancel", "msg_1")
    assert len(web_sink.received_at(CANCEL)) == 3


async def test_errors_have_the_fields_of_the_problem(web_sink: HttpSink, call: Call) -> None:
    problem = {
        "type": "/problems/suppressed",
        "title": "The address is suppressed",
        "status": 422,
        "failureReason": "suppressed",
        "errors": [{"detail": "no mail", "pointer": "#/to"}],
    }
    web_sink.script(422, headers=PROBLEM, body=json.dumps(problem).encode())
    with pytest.raises(Refused) as raised:
        await call(web_sink.url(""), "send", MESSAGE)
    error = raised.value
    assert (error.status, error.type, error.failure_reason) == (422, "/problems/suppressed", "suppressed")
    assert error.errors == problem["errors"]
    assert str(error) == "HTTP 422 · The address is suppressed · suppressed · #/to: no mail"
    web_sink.script(409, headers=PROBLEM, body=b'{"type": "/problems/conflict", "title": "Not now"}')
    with pytest.raises(Conflict):
        await call(web_sink.url(""), "cancel", "msg_1")
    web_sink.script(502, body=b"<html>bad gateway</html>")
    with pytest.raises(client.ApiError, match=r"^HTTP 502$"):
        await call(web_sink.url(""), "get", "msg_1")
    web_sink.script(401, body=b'{"internal_code": null, "message": "Unauthorized"}')
    with pytest.raises(client.ApiError, match=r"^HTTP 401 · Unauthorized$"):
        await call(web_sink.url(""), "why", "msg_1")
    assert len(web_sink.requests) == 4


@pytest.mark.parametrize(
    "said",
    [
        *(b'{"errors": ["x"]}', b'{"errors": null}', b'{"errors": {"a": 1}}', b'{"title": 5}', b'{"detail": {"a": 1}}'),
        *(b'{"internal_code": 1}', b"[]", b"[" * 20_000, b"\xff"),
    ],
)
async def test_what_somebody_else_answers_is_an_error_of_the_api(web_sink: HttpSink, call: Call, said: bytes) -> None:
    web_sink.script(502, body=said)
    with pytest.raises(client.ApiError, match=r"^HTTP 502$"):
        await call(web_sink.url(""), "get", "msg_1")


SECRET = standard_webhooks.new_secret()
EVENT = b'{"type": "message.delivered", "timestamp": "2026-01-15T10:00:00.000Z", "data": {"text": "caf\xc3\xa9"}}'


def signed(
    body: bytes = EVENT, *, message_id: str = "msg_1:delivered", at: float = 0, **secrets: str
) -> dict[str, str]:
    when = int(at or time.time())
    known = secrets or {"only": SECRET}
    signature = standard_webhooks.sign(known.values(), message_id=message_id, timestamp=when, body=body)
    return {"Webhook-Id": message_id, "Webhook-Timestamp": str(when), "Webhook-Signature": signature}


def test_an_event_is_proved_as_the_worker_signs_it_and_as_others_do() -> None:
    assert verify(EVENT, signed(), SECRET)["type"] == "message.delivered"
    rotated = signed(old=standard_webhooks.new_secret(), new=SECRET)
    assert verify(EVENT, rotated, SECRET)["data"] == {"text": "café"}
    assert Webhook(SECRET).verify(EVENT, {name.lower(): value for name, value in signed().items()})


@pytest.mark.parametrize(
    "changed",
    [
        {"Webhook-Signature": "v1,AAAA"},
        {"Webhook-Signature": "v2,nonsense"},
        {"Webhook-Signature": "é"},
        {"Webhook-Signature": ""},
        {"Webhook-Id": "msg_2:delivered"},
        {"Webhook-Id": "msg.1"},
        {"Webhook-Id": ""},
        {"Webhook-Timestamp": "\u0661"},
        {"Webhook-Timestamp": "1" * 13},
        {"Webhook-Timestamp": ""},
        {"Webhook-Timestamp": "1"},
    ],
)
def test_whatever_is_not_proved_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(BadSignature):
        verify(EVENT, signed() | changed, SECRET)


def test_another_body_another_secret_and_another_day_are_refused() -> None:
    now = time.time()
    for body, headers, secret in (
        (EVENT + b" ", signed(), SECRET),
        (EVENT, signed(), standard_webhooks.new_secret()),
        (EVENT, signed(at=now - client.TOLERANCE_S - 5), SECRET),
        (EVENT, signed(at=now + client.TOLERANCE_S + 5), SECRET),
    ):
        with pytest.raises(BadSignature):
            verify(body, headers, secret)


@pytest.mark.parametrize("secret", ["", "whsec_", "  ", "whsec_!!!!", "whsec_*"])
def test_a_secret_without_a_key_proves_nothing(secret: str) -> None:
    at = str(int(time.time()))
    forged = base64.b64encode(hmac.digest(b"", f"msg_1.{at}.".encode() + EVENT, "sha256")).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": at, "webhook-signature": f"v1,{forged}"}
    with pytest.raises(BadSignature, match="secret"):
        verify(EVENT, headers, secret)


def test_the_file_may_be_copied_alone_beside_httpx() -> None:
    tree = ast.parse(Path(client.__file__).read_text())
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "."]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - sys.stdlib_module_names == {"httpx"}
