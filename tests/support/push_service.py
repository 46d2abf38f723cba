"""A push service that checks what real ones check, and browsers whose keys open what it was given.

It answers 201 to what is right and to each fault as RFC 8030, RFC 8188 and RFC 8292 say, unless it is told otherwise.
"""

import base64
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import http_ece
import msgspec
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from channels.contract import Browser
from models.ids import new_id
from tests.support.door import WebServer
from tests.support.http_sink import HttpSink, Request

_URGENCIES: Final = ("very-low", "low", "normal", "high")
_TOPIC: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_CREDENTIALS: Final = re.compile(r"vapid t=([A-Za-z0-9_.-]+), *k=([A-Za-z0-9_-]+)")
_MOST_BYTES: Final = 4096
_DAY_S: Final = 86_400
_HEADER_BYTES: Final = 16 + 4 + 1 + 65  # salt, record size, key id's length, key id (RFC 8188, section 2.1)


@dataclass(frozen=True)
class Subscription:
    """A browser that subscribed. ``path``: its endpoint; ``key``: whose pushes it takes, None for anybody's."""

    id: UUID
    path: str
    endpoint: str
    private_key: ec.EllipticCurvePrivateKey
    auth: bytes
    key: str | None

    @property
    def browser(self) -> Browser:
        """What the site tells us of it."""
        return Browser(self.id, self.endpoint, self.p256dh, encode(self.auth))

    @property
    def p256dh(self) -> str:
        """Its public key."""
        return encode(point(self.private_key.public_key()))

    def open(self, body: bytes) -> Any:
        """What was said to it alone."""
        plain = http_ece.decrypt(body, private_key=self.private_key, auth_secret=self.auth, version="aes128gcm")
        return msgspec.json.decode(plain)


@dataclass(frozen=True)
class Push:
    """One message that came, opened with its receiver's keys."""

    to: Subscription
    request: Request
    payload: Any


class Fault(Exception):
    """What is wrong with a request, and the status that says so."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


@dataclass
class PushService(HttpSink):
    """``script`` by a subscription's path. ``faults``: what was wrong with the requests that it refused by itself."""

    faults: list[str] = field(default_factory=list)
    _subscriptions: dict[str, Subscription] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """Whom a token must be meant for."""
        return self.url("")

    def subscribe(self, path: str | None = None, *, key: str | None = None) -> Subscription:
        """A new browser."""
        path = path or f"/push/{new_id()}"
        made = Subscription(
            new_id(), path, self.url(path), ec.generate_private_key(ec.SECP256R1()), os.urandom(16), key
        )
        self._subscriptions[path] = made
        return made

    @property
    def pushes(self) -> list[Push]:
        """Everything that came, answered or not."""
        return [self._read(request) for request in self.requests if request.path in self._subscriptions]

    def pushes_to(self, subscription: Subscription) -> list[Push]:
        """What came for one browser."""
        return [push for push in self.pushes if push.to == subscription]

    def _read(self, request: Request) -> Push:
        to = self._subscriptions[request.path]
        return Push(to, request, to.open(request.body))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        told = self._rule_for(request.path)
        response = await super()._answer(request)
        if told:
            return response
        try:
            self._check(self.requests[-1])
        except Fault as fault:
            self.faults.append(str(fault))
            return web.Response(status=fault.status)
        return web.Response(status=201, headers={"Location": f"{self.origin}/message/{new_id()}"})

    def _rule_for(self, path: str) -> bool:
        return any(rule.path in (None, path) and rule.times != 0 for rule in self._rules)

    def _check(self, request: Request) -> None:
        subscription = self._subscriptions.get(request.path)
        if subscription is None:
            raise Fault(404, "no such subscription")
        headers = request.headers
        _need(request.method == "POST", 405, "not a POST")
        _need(headers.get("ttl", "").isdigit(), 400, "TTL is missing, or no number (RFC 8030, section 5.2)")
        _need(headers.get("urgency", "normal") in _URGENCIES, 400, "unknown urgency (RFC 8030, section 5.3)")
        _need(bool(_TOPIC.fullmatch(headers.get("topic", "x"))), 400, "malformed topic (RFC 8030, section 5.4)")
        _need(headers.get("content-encoding") == "aes128gcm", 415, "not aes128gcm (RFC 8291, section 4)")
        _need(len(request.body) <= _MOST_BYTES, 413, "over 4,096 bytes (RFC 8030, section 7.2)")
        _need(len(request.body) > _HEADER_BYTES and request.body[20] == 65, 400, "no header (RFC 8188, section 2.1)")
        key = check_vapid(headers.get("authorization", ""), self.origin)
        _need(subscription.key in (None, key), 403, "the subscription was made with another key (RFC 8292, section 4)")


def check_vapid(authorization: str, audience: str) -> str:
    """The public key that signed; raises Fault where a push service would refuse the header (RFC 8292)."""
    found = _CREDENTIALS.fullmatch(authorization)
    if found is None:
        raise Fault(401, "no VAPID credentials (section 3)")
    token, key = found.groups()
    try:
        head, claims, signature = token.split(".")
        public_key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decode(key))
        raw = decode(signature)
        der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        public_key.verify(der, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature) as error:
        raise Fault(403, f"the token is not signed by k: {type(error).__name__}") from None
    _need(len(raw) == 64, 403, "the signature is not r and s (RFC 7518, section 3.4)")
    _need(msgspec.json.decode(decode(head)) == {"typ": "JWT", "alg": "ES256"}, 401, "not a JWT by ES256 (section 2)")
    said = msgspec.json.decode(decode(claims))
    _need(said.get("aud") == audience, 401, "meant for somebody else (section 2)")
    _need(str(said.get("sub")).startswith(("mailto:", "https:")), 401, "no contact (section 2.1)")
    now = time.time()
    _need(isinstance(said.get("exp"), int) and now < said["exp"] <= now + _DAY_S, 401, "expired, or over a day")
    return key


def _need(holds: bool, status: int, otherwise: str) -> None:
    if not holds:
        raise Fault(status, otherwise)


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """The uncompressed form."""
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def encode(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """And back."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[PushService]:
    """A push service on a free port of this event loop."""
    service = PushService()
    server = WebServer(service.door, service._answer)
    runner = web.ServerRunner(server, handle_signals=False, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, service.host, 0)
    await site.start()
    service.port = runner.addresses[0][1]
    try:
        yield service
    finally:
        await runner.cleanup()
