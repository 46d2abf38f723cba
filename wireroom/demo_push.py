"""The demo's push service, and the browsers that it serves: they open what comes with their own keys."""

import base64
import json
import os
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import http_ece
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import jwt

from wireroom.demo_arrivals import Push
from wireroom.demo_http import Answer, Request

_CREDENTIALS: Final = re.compile(r"vapid t=([A-Za-z0-9_.-]+), *k=([A-Za-z0-9_-]+)")
_MOST_BYTES: Final = 4096
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser that subscribed at ``path``, for pushes signed with ``key`` alone. ``is_gone``: it exists no more."""

    path: str
    key: str
    private_key: ec.EllipticCurvePrivateKey
    auth: bytes
    is_gone: bool

    def subscription(self, origin: str) -> dict[str, str]:
        """What its page tells the site (W3C Push API, ``PushSubscription``)."""
        point = self.private_key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return {"endpoint": f"{origin}{self.path}", "p256dh": _encode(point), "auth": _encode(self.auth)}

    def open(self, body: bytes) -> dict[str, Any]:
        """What was said to it alone (RFC 8291); raises ValueError where its keys do not open it, or it is no JSON."""
        try:
            plain = http_ece.decrypt(body, private_key=self.private_key, auth_secret=self.auth, version="aes128gcm")
        except (http_ece.ECEException, InvalidTag) as error:
            raise ValueError("not encrypted for this browser") from error
        said: dict[str, Any] = json.loads(plain)
        return said


class PushService:
    """Takes what RFC 8030 and RFC 8292 allow; anything else it refuses, and keeps why in ``faults``."""

    def __init__(self, arrivals: list[Push]) -> None:
        self.faults: list[str] = []
        self._arrivals = arrivals
        self._browsers: dict[str, Browser] = {}

    def subscribe(self, path: str, key: str, *, is_gone: bool) -> Browser:
        """A new browser. ``key``: the public key of the site that may write to it."""
        made = Browser(path, key, ec.generate_private_key(ec.SECP256R1()), os.urandom(16), is_gone)
        self._browsers[path] = made
        return made

    def answer(self, request: Request) -> Answer:
        """201, or 410 where the browser is gone; 4xx to what is not as it should be."""
        browser = self._browsers.get(request.path)
        if browser is None:
            return self._refuse(HTTPStatus.NOT_FOUND, "a push to no browser")
        fault = _fault(request, browser)
        if fault is not None:
            return self._refuse(*fault)
        if browser.is_gone:
            return Answer(HTTPStatus.GONE)
        try:
            self._arrivals.append(Push(request.path, browser.open(request.body)))
        except ValueError as error:
            return self._refuse(HTTPStatus.BAD_REQUEST, f"a push that its browser cannot read: {error}")
        return Answer(HTTPStatus.CREATED, headers={"Location": f"{_origin(request)}/message/{len(self._arrivals)}"})

    def _refuse(self, status: HTTPStatus, why: str) -> Answer:
        self.faults.append(f"refused {why}")
        return Answer(status)


def _origin(request: Request) -> str:
    return f"http://{request.headers.get('host')}"


def _fault(request: Request, browser: Browser) -> tuple[HTTPStatus, str] | None:
    """What a push service would refuse, without the browser's keys."""
    headers = request.headers
    if not _is_signed(headers.get("authorization", ""), browser.key, _origin(request), request.received_at):
        return HTTPStatus.FORBIDDEN, "a push that is not signed as RFC 8292 says"
    if not headers.get("ttl", "").isdigit() or headers.get("content-encoding") != "aes128gcm":
        return HTTPStatus.BAD_REQUEST, "a push without TTL (RFC 8030, section 5.2) or encryption (RFC 8291)"
    if len(request.body) > _MOST_BYTES:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a push of over 4,096 bytes (RFC 8030, section 7.2)"
    return None


def _is_signed(authorization: str, key: str, origin: str, now: float) -> bool:
    """Whether the header is ``key``'s, made for this service and not yet over (RFC 8292, sections 2 and 3)."""
    found = _CREDENTIALS.fullmatch(authorization)
    if found is None or found[2] != key:
        return False
    try:
        claims = jwt.decode(found[1], key)
    except InvalidSignature:
        return False
    expires = claims.get("exp")
    lives = isinstance(expires, int) and now < expires <= now + _DAY_S
    return lives and claims.get("aud") == origin and str(claims.get("sub")).startswith(("mailto:", "https:"))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
