"""Mandrill (Mailchimp Transactional): a form whose ``mandrill_events`` is an array of up to 1,000 events.

Signed by HMAC-SHA1 over the address that it was told and the form's fields in order. Source: mailchimp.com/developer/
transactional/guides/track-respond-activity-webhooks; mandrill.zendesk.com, "Webhook Format".
"""

import base64
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

from channels.providers import forms, reading
from channels.providers.contract import BadSignature, HookRequest, HookSecrets
from channels.providers.proofs import same
from channels.providers.reading import Meaning
from models.events import ParsedEvent
from models.evidence import Provider

SIGNATURE_HEADER: Final = "x-mandrill-signature"
EVENTS: Final = "mandrill_events"

# Before a webhook is made its address is tried with no event, under a key that everybody knows.
_TRIAL_KEY: Final = "test-webhook"
_TRIAL: Final = [(EVENTS, "[]")]

_MEANINGS: Final[Mapping[str, Meaning]] = {
    "send": reading.ACCEPTED,
    "delivered": reading.DELIVERED,
    "deferral": reading.DEFERRED,
    "hard_bounce": reading.HARD,
    "soft_bounce": reading.SOFT,
    "open": reading.OPENED,
    "click": reading.CLICKED,
    "spam": reading.COMPLAINED,
    "unsub": reading.UNSUBSCRIBED,
    "reject": reading.FAILED,
    "inbound": reading.IGNORED,
    "blacklist": reading.IGNORED,
    "whitelist": reading.IGNORED,
}


class MandrillProvider:
    """Told apart by what an event is about: ``_id`` is the message's."""

    def verify(self, request: HookRequest, secrets: HookSecrets, now_s: float) -> None:
        """Return where one of the keys signed one of the request's addresses with its form; raises BadSignature.

        Nothing says when it was signed: what is repeated is known by its events.
        """
        try:
            fields = forms.fields(request)
        except ValueError:
            raise BadSignature("no form") from None
        keys = [*secrets.signing_keys, *([_TRIAL_KEY] if fields == _TRIAL else [])]
        form = "".join([name + value for name, value in sorted(fields)]).encode()
        expected = [_signature(key, url, form) for key in keys for url in request.urls]
        if not same(request.headers.get(SIGNATURE_HEADER, ""), expected):
            raise BadSignature("no key made this signature")

    def parse(self, request: HookRequest) -> Sequence[ParsedEvent]:
        """The events in their order. Raises TooManyEvents where there are more than 10,000."""
        try:
            events = dict(forms.fields(request)).get(EVENTS, "")
        except ValueError as error:
            return [reading.unreadable(Provider.MANDRILL, request.body, error)]
        return reading.each(Provider.MANDRILL, events.encode(), _read)


def _signature(key: str, url: str, form: bytes) -> str:
    mac = hmac.new(key.encode(), url.encode(), "sha1")
    mac.update(form)
    return base64.b64encode(mac.digest()).decode()


def _read(event: Any, raw: bytes) -> list[ParsedEvent]:
    name = reading.word(event, "event") or reading.word(event, "type")
    message_id = reading.reference(event, "_id") or reading.reference(event, "msg", "_id")
    recipient = reading.reference(event, "msg", "email") or reading.reference(event, "reject", "email")
    time = reading.seconds(event, "ts")
    facts = (message_id, recipient, name, time, reading.text(event, "url"))
    words = [reading.text(event, "msg", key) for key in ("bounce_description", "diag")]
    words.append(reading.text(event, "reject", "reason") or reading.text(event, "msg", "reject", "reason"))
    return [
        _MEANINGS.get(name, reading.UNKNOWN).event(
            provider_event=name,
            dedupe=reading.digest(Provider.MANDRILL, *facts),
            raw=raw,
            at=time,
            provider_ref=message_id,
            recipient=recipient,
            reason=" ".join([word for word in words if word]) or None,
            **reading.ours(reading.text(event, "msg", "metadata", reading.KEY)),
        )
    ]
