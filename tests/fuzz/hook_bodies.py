"""Bodies of every hook, broken at random and then signed: each is read, in time, and nothing of it stays."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import psutil

from api_shim.hook_providers import PROVIDERS
from channels import standard_webhooks
from channels.providers.contract import BadSignature, HookRequest, HookSecrets, ProviderAdapter
from channels.providers.telegram import SECRET_HEADER
from models.evidence import Provider
from tests.fuzz.all_requests import Aim, reports
from tests.fuzz.bounce_mails import SEED, Mutator
from tests.support import provider_requests as requests

LONGEST_S: Final = 1.0
_GROWTH_BYTES: Final = 24 << 20
_UNSIGNED: Final = 10
_JSON: Final = {"content-type": "application/json"}
_AIM: Final = Aim(
    1, 1_800_000_000, 1_800_000_000, "msg_00000000000000000000000001", "7000000000000001", "b-x@example.org", ""
)
_WORDS: Final = rb"""[ ] { } , " null true -1 1e999 "\u0000" "\ud800" "timestamp":1e400 "event":{} mandrill_events="""
_PIECES: Final = (*_WORDS.split(), b"[" * 5_000, b'{"a":' * 5_000, b"9" * 5_000, b"\xff\xfe", b"\0")


class HookBodies:
    """Broken bodies of one provider, every tenth of which is not signed."""

    def __init__(self, provider: Provider, seed: int = SEED, url: str = requests.URL) -> None:
        self._provider = provider
        self._url = url
        self._number = 0
        known = [each.text(_AIM).encode() for each in reports() if each.provider is provider]
        self._mutator = Mutator(seed, known, _PIECES)

    def next(self, now: float) -> HookRequest:
        """A request, signed at ``now`` (Unix seconds)."""
        body = self._mutator.mail()
        self._number += 1
        if self._number % _UNSIGNED == 0:
            return HookRequest(headers=_JSON, body=body, urls=(self._url,))
        if self._provider is Provider.MANDRILL:
            return requests.mandrill(body.decode("utf-8", "replace"), url=self._url)
        sign = _SIGN.get(self._provider)
        return HookRequest(headers=_JSON, body=body) if sign is None else sign(body, now, f"n{self._number}")


def _mailgun(body: bytes, now: float, name: str) -> HookRequest:
    whole = requests.mailgun({}, now, f"token-{name}").body
    return HookRequest(headers=_JSON, body=whole.replace(b'"event-data": {}', b'"event-data": ' + body))


def _standard(prefix: str, body: bytes, now: float, name: str) -> HookRequest:
    made = standard_webhooks.sign([requests.WHSEC], message_id=name, timestamp=int(now), body=body)
    headers = {f"{prefix}-id": name, f"{prefix}-timestamp": str(int(now)), f"{prefix}-signature": made}
    return HookRequest(headers=_JSON | headers, body=body)


_SIGN: Final[Mapping[Provider, Callable[[bytes, float, str], HookRequest]]] = {
    Provider.SENDGRID: lambda body, now, _name: requests.sendgrid(body, now),
    Provider.MAILGUN: _mailgun,
    Provider.SES: lambda body, now, name: requests.sns(body.decode("utf-8", "replace"), now, MessageId=name),
    Provider.TELEGRAM: lambda body, _now, _name: HookRequest(
        headers=_JSON | {SECRET_HEADER: requests.SECRET}, body=body
    ),
    Provider.RESEND: partial(_standard, "svix"),
    Provider.GENERIC: partial(_standard, "webhook"),
}


def secrets_of(provider: Provider, now: float) -> HookSecrets:
    """What the requests of a provider are signed by."""
    keys = {Provider.SENDGRID: requests.public_text(requests.sendgrid_key())}
    keys |= dict.fromkeys((Provider.RESEND, Provider.GENERIC), requests.WHSEC)
    key = keys.get(provider, requests.SECRET)
    return HookSecrets((key,), (requests.TOPIC,), requests.certificate(int(now) - 86_400))


def read_broken(provider: Provider, count: int, seed: int = SEED) -> float:
    """Prove and read ``count`` broken bodies; the longest time of one (seconds). Raises AssertionError."""
    adapter = PROVIDERS[provider].adapter
    assert adapter is not None
    process, now = psutil.Process(), time.time()
    bodies, known, slowest, refused = HookBodies(provider, seed), secrets_of(provider, now), 0.0, 0
    memory: list[int] = []
    for number in range(count):
        request = bodies.next(now)
        begun = time.process_time()
        refused += not _is_proved(adapter, request, known, now)
        events = adapter.parse(request)
        taken = time.process_time() - begun
        slowest = max(slowest, taken)
        assert taken < LONGEST_S, f"{provider}, number {number} of seed {seed} took {taken:.2f} s"
        for event in events:
            assert len(event.dedupe) == 32
            words = f"{event.provider_event}{event.reason}{event.recipient}{event.provider_ref}"
            assert "\0" not in words
            words.encode()  # no half of a surrogate pair
        if number % max(1, count // 3) == count // 6:
            memory.append(process.memory_info().rss)
    assert memory[-1] - memory[0] < _GROWTH_BYTES, memory
    # Most are proved, so that what was broken is what was read.
    assert refused < count / 2 or provider is Provider.MAILGUN, refused
    return slowest


def _is_proved(adapter: ProviderAdapter, request: HookRequest, known: HookSecrets, now: float) -> bool:
    try:
        adapter.verify(request, known, now)
    except BadSignature:
        return False
    return True
