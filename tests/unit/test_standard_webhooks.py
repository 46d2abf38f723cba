"""Standard Webhooks: the fixed vector of the specification, and the reference library as the other side."""

import base64
import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from channels import standard_webhooks as ours

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

_keys = st.binary(min_size=24, max_size=64).map(lambda key: "whsec_" + base64.b64encode(key).decode())


def headers(signature: str = SIGNATURE, timestamp: str = str(TIMESTAMP)) -> dict[str, str]:
    return {"webhook-id": MESSAGE_ID, "webhook-timestamp": timestamp, "webhook-signature": signature}


def test_the_fixed_vector() -> None:
    assert ours.sign([SECRET], message_id=MESSAGE_ID, timestamp=TIMESTAMP, body=BODY) == SIGNATURE
    ours.verify([SECRET], headers(), BODY, now=TIMESTAMP)


@given(secret=_keys, text=st.text())
def test_the_reference_library_takes_what_we_sign(secret: str, text: str) -> None:
    body = json.dumps({"text": text}).encode()
    now = int(time.time())
    signature = ours.sign([secret], message_id="msg_1", timestamp=now, body=body)
    given_headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": signature}
    assert Webhook(secret).verify(body, given_headers) == {"text": text}


@given(secret=_keys, text=st.text())
def test_we_take_what_the_reference_library_signs(secret: str, text: str) -> None:
    moment = datetime(2026, 1, 15, 10, tzinfo=UTC)
    signature = Webhook(secret).sign(msg_id="msg_1", timestamp=moment, data=text)
    seconds = int(moment.timestamp())
    given_headers = {"webhook-id": "msg_1", "webhook-timestamp": str(seconds), "webhook-signature": signature}
    ours.verify([secret], given_headers, text.encode(), now=seconds)


def test_while_rotating_both_secrets_sign_and_either_is_enough() -> None:
    new = ours.new_secret()
    now = int(time.time())
    both = ours.sign([new, SECRET], message_id="msg_1", timestamp=now, body=BODY)
    assert len(both.split(" ")) == 2
    given_headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": both}
    for secret in (new, SECRET):
        Webhook(secret).verify(BODY, given_headers)
        ours.verify([secret], given_headers, BODY, now=now)
    ours.verify([ours.new_secret(), SECRET], given_headers, BODY, now=now)
    with pytest.raises(WebhookVerificationError):
        Webhook(ours.new_secret()).verify(BODY, given_headers)
    with pytest.raises(ours.BadSignature):
        ours.verify([ours.new_secret()], given_headers, BODY, now=now)


@pytest.mark.parametrize("signature", [f"v1a,aaaa {SIGNATURE}", f"v2,x {SIGNATURE} v9", f"nonsense {SIGNATURE}"])
def test_other_versions_are_passed_over(signature: str) -> None:
    ours.verify([SECRET], headers(signature), BODY, now=TIMESTAMP)


@pytest.mark.parametrize(
    "signature",
    [
        "v1,",
        "v1",
        SIGNATURE.removeprefix("v1,"),
        SIGNATURE.replace("v1,", "v2,"),
        SIGNATURE[:-1],
        SIGNATURE + "=",
        SIGNATURE.lower(),
        SIGNATURE.replace("v1,", "v1,é"),
        "\udcff" + SIGNATURE,
        "v1,\udcff",
    ],
)
def test_a_wrong_signature_is_refused(signature: str) -> None:
    with pytest.raises(ours.BadSignature):
        ours.verify([SECRET], headers(signature), BODY, now=TIMESTAMP)


def test_body_id_and_time_are_signed() -> None:
    for changed in ({"webhook-id": "msg_other"}, {"webhook-timestamp": str(TIMESTAMP + 1)}):
        with pytest.raises(ours.BadSignature):
            ours.verify([SECRET], headers() | changed, BODY, now=TIMESTAMP)
    with pytest.raises(ours.BadSignature):
        ours.verify([SECRET], headers(), BODY + b" ", now=TIMESTAMP)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_every_header_is_needed(name: str) -> None:
    without = headers()
    del without[name]
    for partial in (without, without | {name: ""}):
        with pytest.raises(ours.BadSignature):
            ours.verify([SECRET], partial, BODY, now=TIMESTAMP)


@pytest.mark.parametrize(("off", "good"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
def test_five_minutes_of_tolerance_both_ways(off: int, good: bool) -> None:
    if good:
        ours.verify([SECRET], headers(), BODY, now=TIMESTAMP + off)
    else:
        with pytest.raises(ours.BadSignature):
            ours.verify([SECRET], headers(), BODY, now=TIMESTAMP + off)


@pytest.mark.parametrize("timestamp", ["x", "1614265330.0", "-1", " 1614265330", "\uff11\uff12", "9" * 5000])
def test_a_time_that_is_no_count_of_seconds_is_refused(timestamp: str) -> None:
    with pytest.raises(ours.BadSignature):
        ours.verify([SECRET], headers(timestamp=timestamp), BODY, now=TIMESTAMP)


def test_without_secrets_nothing_is_proved() -> None:
    with pytest.raises(ours.BadSignature):
        ours.verify([], headers(), BODY, now=TIMESTAMP)


def test_a_new_secret_is_32_bytes_and_new() -> None:
    first, second = ours.new_secret(), ours.new_secret()
    assert first.startswith("whsec_")
    assert len(ours.decode_secret(first)) == 32
    assert first != second


@pytest.mark.parametrize("length", [24, 25, 26, 32, 64])
def test_secrets_of_the_right_length_are_read_padded_or_not(length: int) -> None:
    key = bytes(range(length))
    text = "whsec_" + base64.b64encode(key).decode()
    assert ours.decode_secret(text) == key
    assert ours.decode_secret(text.rstrip("=")) == key


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_!!!!",
        "whsec_é",
        SECRET.removeprefix("whsec_"),
        "whsk_" + SECRET.removeprefix("whsec_"),
        SECRET + "\n",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
    ],
)
def test_what_is_no_secret_is_refused_without_repeating_it(secret: str) -> None:
    with pytest.raises(ValueError, match="a webhook secret") as refused:
        ours.decode_secret(secret)
    assert len(secret) < 7 or secret not in str(refused.value)
    assert refused.value.__cause__ is None


def test_ten_signatures_are_read() -> None:
    ours.verify([SECRET], headers("v1,AAAA " * 9 + SIGNATURE), BODY, now=TIMESTAMP)
    with pytest.raises(ours.BadSignature):
        ours.verify([SECRET], headers("v1,AAAA " * 10 + SIGNATURE), BODY, now=TIMESTAMP)


def test_a_body_with_its_time_moved_into_the_id_is_refused() -> None:
    # What was signed as (a, t, "5.x") reads the same as (a.t, 5, "x").
    signature = ours.sign([SECRET], message_id="a", timestamp=TIMESTAMP, body=f"{TIMESTAMP}.x".encode())
    moved = headers(signature) | {"webhook-id": f"a.{TIMESTAMP}"}
    with pytest.raises(ours.BadSignature, match="full stop"):
        ours.verify([SECRET], moved, b"x", now=TIMESTAMP)
