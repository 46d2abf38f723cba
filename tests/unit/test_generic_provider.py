import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels import standard_webhooks
from channels.providers.contract import BadSignature, HookRequest, HookSecrets, TooManyEvents
from channels.providers.generic import GenericProvider
from models.events import ParsedEvent
from models.vocabulary import BounceType, EventType
from tests.support.provider_examples import GENERIC, MESSAGE, NOW
from tests.unit.test_provider_words import meaning

PROVIDER = GenericProvider()


def signed(body: bytes, secret: str) -> HookRequest:
    signature = standard_webhooks.sign([secret], message_id="d1", timestamp=int(NOW), body=body)
    headers = {"webhook-id": "d1", "webhook-timestamp": str(int(NOW)), "webhook-signature": signature}
    return HookRequest(headers=headers, body=body)


def parse(*events: Any, delivery: str = "d1") -> list[ParsedEvent]:
    body = json.dumps({"events": events}).encode()
    return list(PROVIDER.parse(HookRequest(headers={"webhook-id": delivery}, body=body)))


def test_a_good_signature() -> None:
    secret = standard_webhooks.new_secret()
    PROVIDER.verify(signed(b"{}", secret), HookSecrets((secret,)), NOW)


def test_bad_signatures() -> None:
    secret, other = standard_webhooks.new_secret(), standard_webhooks.new_secret()
    request = signed(b"{}", secret)
    changed = HookRequest(headers=request.headers, body=b"{ }")
    for bad, keys, now in (
        (request, (other,), NOW),
        (request, (), NOW),
        (changed, (secret,), NOW),
        (request, (secret,), NOW + 301.0),
        (HookRequest(headers={}, body=b"{}"), (secret,), NOW),
    ):
        with pytest.raises(BadSignature):
            PROVIDER.verify(bad, HookSecrets(keys), now)


@pytest.mark.parametrize(("event", "expected"), GENERIC)
def test_every_type(event: dict[str, Any], expected: str) -> None:
    (read,) = parse(event)
    assert (meaning(read), read.provider_event, read.message_ref) == (expected, event["type"], MESSAGE)
    assert read.at == NOW * 1000


def test_soft_bounces_and_reasons() -> None:
    soft, told = parse(
        {"type": "bounced", "bounceType": "soft", "detail": "mailbox full"}, {"type": "failed", "detail": {"code": 5}}
    )
    assert (soft.bounce_type, soft.reason) == (BounceType.SOFT, "mailbox full")
    assert told.reason == '{"code":5}'


def test_repetitions_have_one_key() -> None:
    first, second = parse({"id": "e1", "type": "opened"}, {"id": "e2", "type": "opened"})
    (again,) = parse({"id": "e1", "type": "opened"}, delivery="d2")
    assert first.dedupe == again.dedupe != second.dedupe


def test_without_an_id_the_delivery_and_the_place_count() -> None:
    first, second = parse({"type": "opened"}, {"type": "opened"})
    repeated = parse({"type": "opened"}, {"type": "opened"})
    (other,) = parse({"type": "opened"}, delivery="d2")
    assert [first.dedupe, second.dedupe] == [each.dedupe for each in repeated]
    assert len({first.dedupe, second.dedupe, other.dedupe}) == 3


def test_a_bad_event_spoils_no_other() -> None:
    good, unknown, broken = parse({"type": "opened"}, {"type": "danced"}, 5)
    assert [good.type, unknown.type, broken.type] == [EventType.OPENED, EventType.IGNORED, EventType.IGNORED]
    assert (unknown.provider_event, broken.raw) == ("danced", b"5")


def test_an_unknown_message_and_a_time_that_is_none() -> None:
    (event,) = parse({"type": "opened", "messageId": "x-1", "at": "yesterday"})
    assert (event.type, event.message_ref, event.at) == (EventType.OPENED, None, None)


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_nothing_breaks_it(body: bytes) -> None:
    for event in PROVIDER.parse(HookRequest(headers={}, body=body)):
        assert len(event.dedupe) == 32
        assert "\0" not in event.provider_event + (event.reason or "")


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"events":' + b"[" * 200_000, b'{"events":[{"type":"\\u0000a"}]}'])
def test_hostile_bodies_are_kept_and_change_nothing(body: bytes) -> None:
    (event,) = PROVIDER.parse(HookRequest(headers={}, body=body))
    assert event.type is EventType.IGNORED


def test_ten_thousand_events_and_no_more() -> None:
    assert len(parse(*[5] * 10_000)) == 10_000
    with pytest.raises(TooManyEvents):
        parse(*[5] * 10_001)


def test_events_that_are_no_list_are_kept_as_one() -> None:
    (event,) = PROVIDER.parse(HookRequest(headers={}, body=b'{"events":5}'))
    assert (event.type, event.raw) == (EventType.IGNORED, b'{"events":5}')
