"""Signatures, checked by what receivers really use: the packages of Standard Webhooks and of Svix."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest
import standardwebhooks
import svix.webhooks

from channels.contract import Content
from channels.errors import Permanent
from channels.standard_webhooks import new_secret
from channels.webhook import LARGEST_BODY, WebhookChannel, WebhookConfig
from models.vocabulary import FailureReason
from tests.support.api import Api, serving
from tests.support.broker import ValkeyServer
from tests.support.envelopes import envelope
from tests.support.house import House
from tests.support.http_sink import HttpSink, Request
from tests.support.waiting import wait_until
from tests.support.webhooks import LOOPBACK, opened


class Verifier(Protocol):
    """What both packages offer."""

    def verify(self, data: bytes, headers: dict[str, str]) -> object:
        """An error where the signature is not the body's own."""


PACKAGES: Mapping[str, tuple[Callable[[str], Verifier], type[Exception]]] = {
    "standardwebhooks": (standardwebhooks.Webhook, standardwebhooks.WebhookVerificationError),
    "svix": (svix.webhooks.Webhook, svix.webhooks.WebhookVerificationError),
}
BODIES = {
    "text": "Good morning",
    "unicode": 'Zoë \U0001f469‍\U0001f469 שלום \u2028 \\ " \x00 \x7f',
    "empty": "",
    "big": "ä" * ((LARGEST_BODY - 1_000) // 2),
}


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def channel() -> AsyncIterator[WebhookChannel]:
    async with opened(WebhookConfig(LOOPBACK)) as it:
        yield it


def verify(package: str, secret: str, body: bytes, headers: Mapping[str, str]) -> None:
    PACKAGES[package][0](secret).verify(body, dict(headers))


@pytest.mark.parametrize("text", BODIES.values(), ids=BODIES)
async def test_a_receiver_verifies_and_reads_it(
    channel: WebhookChannel, web_sink: HttpSink, package: str, text: str
) -> None:
    secret = new_secret()
    message = envelope(web_sink.url(), secrets=(secret,), variables={"text": text})
    await channel.send(message, channel.prepare(Content(body="{{text}}")))
    (request,) = web_sink.requests
    verify(package, secret, request.body, request.headers)
    data = request.json()["data"]
    assert (data["body"], data["messageId"]) == (text, message.message_id)


async def test_both_secrets_verify_while_they_rotate_and_no_third(
    channel: WebhookChannel, web_sink: HttpSink, package: str
) -> None:
    secrets = (new_secret(), new_secret())
    await channel.send(envelope(web_sink.url(), secrets=secrets), channel.prepare(Content(body="b")))
    (request,) = web_sink.requests
    for secret in secrets:
        verify(package, secret, request.body, request.headers)
    with pytest.raises(PACKAGES[package][1]):
        verify(package, new_secret(), request.body, request.headers)


def changed(request: Request) -> list[tuple[bytes, dict[str, str]]]:
    """The request with one thing different."""
    headers = dict(request.headers)
    middle = len(request.body) // 2
    flipped = request.body[:middle] + bytes([request.body[middle] ^ 1]) + request.body[middle + 1 :]
    return [
        (flipped, headers),
        (request.body + b" ", headers),
        (request.body, headers | {"webhook-id": "msg_other"}),
        (request.body, headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}),
        (request.body, headers | {"webhook-signature": headers["webhook-signature"].swapcase()}),
    ]


async def test_what_was_changed_on_the_way_is_refused(
    channel: WebhookChannel, web_sink: HttpSink, package: str
) -> None:
    secret = new_secret()
    await channel.send(envelope(web_sink.url(), secrets=(secret,)), channel.prepare(Content(subject="s", body="b")))
    (request,) = web_sink.requests
    for body, headers in changed(request):
        with pytest.raises(PACKAGES[package][1]):
            verify(package, secret, body, headers)


async def test_what_is_too_large_is_not_sent(channel: WebhookChannel, web_sink: HttpSink) -> None:
    prepared = channel.prepare(Content(body="{{text}}"))
    with pytest.raises(Permanent) as caught:
        await channel.send(envelope(web_sink.url(), variables={"text": "a" * LARGEST_BODY}), prepared)
    assert caught.value.reason is FailureReason.TOO_LARGE
    assert web_sink.requests == []


@pytest.fixture
async def api(tmp_path: Path, sqlite_url: str, valkey: ValkeyServer) -> AsyncIterator[Api]:
    async with serving(tmp_path, sqlite_url, valkey.url) as running:
        yield running


@pytest.fixture
async def house(tmp_path: Path, sqlite_url: str, valkey: ValkeyServer) -> AsyncIterator[House]:
    house = House(tmp_path, database_url=sqlite_url, redis_url=valkey.url, smtp_port=25)
    yield house
    await asyncio.to_thread(house.close)


async def test_secrets_that_the_api_rotates_verify_and_410_is_told(api: Api, house: House, web_sink: HttpSink) -> None:
    """The whole way: contact, rotation, worker, receiver; then the receiver is gone."""
    tenant = await api.tenant()
    made = await tenant.post("/contacts", {"webhookUrl": web_sink.url("/in")})
    old = made["webhookSecret"]
    new = new_secret()
    assert (await tenant.call("PATCH", f"/contacts/{made['id']}", json={"webhookSecret": new})).status_code == 200
    house.start_worker()
    house.start_keeper()  # a wake-up may get lost; the keeper repeats it
    await tenant.send(made["id"], channel="WEBHOOK")
    await wait_until(lambda: web_sink.requests, timeout=30)
    (request,) = web_sink.requests
    for secret in (old, new):
        verify("standardwebhooks", secret, request.body, request.headers)
    web_sink.script(410)
    gone = await tenant.send(made["id"], channel="WEBHOOK")

    async def told() -> Any:
        return [each for each in (await tenant.get("/events"))["data"] if each["providerEvent"] == "endpoint.disabled"]

    (event,) = await wait_until(told, timeout=30)
    assert (event["reason"], event["recipient"]) == ("endpoint_gone", web_sink.url("/in"))
    found = await tenant.get(f"/messages/{gone['id']}")
    assert (found["status"], found["failureReason"]) == ("BOUNCED", "endpoint_gone")
