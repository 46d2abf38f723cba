"""Bodies of every hook, broken at random and then signed: each is read, in time, and nothing of it stays."""

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import msgspec

from api_shim.hook_providers import PROVIDERS
from channels import standard_webhooks
from channels.providers.contract import BadSignature, HookRequest, HookSecrets, ProviderAdapter
from channels.providers.telegram import SECRET_HEADER
from models.evidence import Provider
from tests.fuzz.all_requests import Aim, reports
from tests.fuzz.bounce_mails import SEED, Mutator
from tests.fuzz.figures import LONGEST_S, Figures
from tests.support import provider_requests as requests

_UNSIGNED: Final = 10
_JSON: Final = {"content-type": "application/json"}
_MAIL: Final = {"content-type": "message/rfc822"}
_FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
_MULTIPART: Final = {"content-type": "multipart/form-data; boundary=b0undary"}
_AIM: Final = Aim(
    1, 1_800_000_000, 1_800_000_000, "msg_00000000000000000000000001", "7000000000000001", "b-x@example.org", ""
)
_WORDS: Final = (
    rb"""[ ] { } , " null true -1 1e999 "\u0000" "\ud800" "timestamp":1e400 "event":{} mandrill_events= & %"""
)
_PIECES: Final = (
    *_WORDS.split(),
    *(b"[" * 5_000, b'{"a":' * 5_000, b"9" * 5_000, b"\xff\xfe", b"\0"),
    *(b"%4", b"%ff" * 5_000, b"&a" * 500, b"token=&", b"--b0undary--", b'--b0undary\r\n; name="', b"\r\n\r\n"),
)


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
            kinds: tuple[Mapping[str, str], ...] = (_JSON, _FORM, _MULTIPART, {})
            return HookRequest(headers=kinds[self._number // _UNSIGNED % len(kinds)], body=body, urls=(self._url,))
        form = self._form(body, now)
        if form is not None:
            # Of a form that is broken once it is signed the proof may still hold: that of Mailgun is beside the rest.
            whole = self._number % 2 == 0
            return form if whole else msgspec.structs.replace(form, body=self._mutator.broken(form.body))
        sign = _SIGN.get(self._provider)
        return HookRequest(headers=_JSON, body=body) if sign is None else sign(body, now, f"n{self._number}")

    def _form(self, body: bytes, now: float) -> HookRequest | None:
        """The body in a form; None where this one is to be in none."""
        text = body.decode("utf-8", "replace")
        if self._provider is Provider.MANDRILL:
            return requests.mandrill(text, url=self._url)
        if self._provider is not Provider.MAILGUN or self._number % 4 > 1:
            return None
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):
            event = None
        fields = event if isinstance(event, dict) else {"event": text[:200], "message-headers": text, "wireroom": text}
        written = {name: str(value) for name, value in fields.items()}
        return requests.mailgun_form(written, now, f"form-{self._number}", multipart=self._number % 8 > 3)


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
    Provider.BOUNCE_MAIL: lambda body, _now, _name: HookRequest(headers=_MAIL, body=body),
}


def secrets_of(provider: Provider, now: float) -> HookSecrets:
    """What the requests of a provider are signed by."""
    keys = {Provider.SENDGRID: requests.public_text(requests.sendgrid_key())}
    keys |= dict.fromkeys((Provider.RESEND, Provider.GENERIC), requests.WHSEC)
    key = keys.get(provider, requests.SECRET)
    return HookSecrets((key,), (requests.TOPIC,), requests.certificate(int(now) - 86_400))


def read_broken(provider: Provider, count: int, seed: int = SEED) -> Figures:
    """Prove and read ``count`` broken bodies. Raises AssertionError."""
    adapter = PROVIDERS[provider].adapter
    assert adapter is not None
    now = time.time()
    bodies, known, figures = HookBodies(provider, seed), secrets_of(provider, now), Figures(count)
    for number in range(count):
        request = bodies.next(now)
        begun = time.process_time()
        figures.refused += not _is_proved(adapter, request, known, now)
        events = adapter.parse(request)
        taken = time.process_time() - begun
        figures.slowest_s = max(figures.slowest_s, taken)
        assert taken < LONGEST_S, f"{provider}, number {number} of seed {seed} took {taken:.2f} s"
        for event in events:
            assert len(event.dedupe) == 32
            words = f"{event.provider_event}{event.reason}{event.recipient}{event.provider_ref}"
            assert "\0" not in words
            words.encode()  # no half of a surrogate pair
        figures.look(number)
    figures.check_memory()
    # Most are proved, so that what was broken is what was read.
    assert figures.refused < count * 0.6 or provider is Provider.MAILGUN, figures
    return figures


def _is_proved(adapter: ProviderAdapter, request: HookRequest, known: HookSecrets, now: float) -> bool:
    try:
        adapter.verify(request, known, now)
    except BadSignature:
        return False
    return True
