"""Who reports: each provider's own proof, and what breaks it."""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from channels.providers import mailgun, sns
from channels.providers.contract import BadSignature, HookRequest, HookSecrets, ProviderAdapter
from channels.providers.mailgun import MailgunProvider
from channels.providers.mandrill import MandrillProvider
from channels.providers.resend import ResendProvider
from channels.providers.sendgrid import SendGridProvider, read_key
from channels.providers.ses import SesProvider
from channels.providers.telegram import TelegramProvider, check_secret
from tests.support import provider_requests as requests
from tests.support.provider_requests import SECRET, TOPIC, Scheme, schemes

NOW: Final = 1_800_000_000.0
ADAPTERS: Final[Mapping[str, ProviderAdapter]] = {
    "sendgrid": SendGridProvider(),
    "mailgun": MailgunProvider(),
    "resend": ResendProvider(),
    "mandrill": MandrillProvider(),
    "ses": SesProvider(),
    "telegram": TelegramProvider(),
}
PROOFS: Final = {
    "x-twilio-email-event-webhook-signature",
    "x-twilio-email-event-webhook-timestamp",
    "svix-id",
    "svix-timestamp",
    "svix-signature",
    "x-mandrill-signature",
    "x-amz-sns-message-type",
    "x-amz-sns-message-id",
    "x-amz-sns-topic-arn",
    "x-telegram-bot-api-secret-token",
}


@pytest.fixture(params=sorted(schemes(NOW)))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def scheme(name: str) -> Scheme:
    return schemes(NOW)[name]


@pytest.fixture
def adapter(name: str) -> ProviderAdapter:
    return ADAPTERS[name.partition(" ")[0]]


def refused(adapter: ProviderAdapter, request: HookRequest, secrets: HookSecrets, now: float = NOW) -> bool:
    try:
        adapter.verify(request, secrets, now)
    except BadSignature:
        return True
    return False


def changed(request: HookRequest, **fields: Any) -> HookRequest:
    return msgspec.structs.replace(request, **fields)


def test_who_signs_is_believed(adapter: ProviderAdapter, scheme: Scheme) -> None:
    adapter.verify(scheme.sign(NOW), scheme.secrets, NOW)


def test_one_of_two_keys_is_enough(adapter: ProviderAdapter, scheme: Scheme, name: str) -> None:
    if scheme.secrets.signing_keys:
        other = {"sendgrid": requests.public_text(ec.generate_private_key(ec.SECP256R1()))}
        keys = (other.get(name, "whsec_" + "A" * 32), *scheme.secrets.signing_keys)
    else:
        keys = ("is not asked for",)
    adapter.verify(scheme.sign(NOW), msgspec.structs.replace(scheme.secrets, signing_keys=keys), NOW)


def test_without_a_key_nobody_is_believed(adapter: ProviderAdapter, scheme: Scheme) -> None:
    assert refused(adapter, scheme.sign(NOW), HookSecrets())


def test_another_key_proves_nothing(adapter: ProviderAdapter, scheme: Scheme, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    other = {"sendgrid": requests.public_text(key), "resend": "whsec_" + "A" * 32}.get(name, "another")
    certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    secrets = msgspec.structs.replace(scheme.secrets, signing_keys=(other,), certificate=certificate)
    assert refused(adapter, scheme.sign(NOW), secrets)


def test_repetitions_are_believed_as_long_as_the_provider_makes_them(adapter: ProviderAdapter, scheme: Scheme) -> None:
    request = scheme.sign(NOW)
    if scheme.good_for_s is None:
        adapter.verify(request, scheme.secrets, NOW + 10 * 86_400)
        return
    adapter.verify(request, scheme.secrets, NOW + scheme.good_for_s - 1)
    assert refused(adapter, request, scheme.secrets, NOW + scheme.good_for_s + 1)
    assert not refused(adapter, request, scheme.secrets, NOW - 299)
    assert refused(adapter, request, scheme.secrets, NOW - 302)


def test_every_header_of_the_proof_counts(adapter: ProviderAdapter, scheme: Scheme, name: str) -> None:
    request = scheme.sign(NOW)
    names = PROOFS & set(request.headers)
    for header in names:
        for place in range(len(request.headers[header])):
            value = request.headers[header]
            flipped = value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]
            given = changed(request, headers={**request.headers, header: flipped})
            assert refused(adapter, given, scheme.secrets), (header, place)
        if header != "x-amz-sns-topic-arn":
            missing = {key: value for key, value in request.headers.items() if key != header}
            assert refused(adapter, changed(request, headers=missing), scheme.secrets), header
    assert names or name.startswith("mailgun")


def test_every_byte_that_the_scheme_covers_counts(adapter: ProviderAdapter, scheme: Scheme) -> None:
    request = scheme.sign(NOW)
    if not scheme.covers:
        return
    for place in range(len(request.body)):
        flipped = bytearray(request.body)
        flipped[place] ^= 1
        given = changed(request, body=bytes(flipped))
        if not refused(adapter, given, scheme.secrets):
            # A part of SNS's frame that says nothing: another spelling of an address that is Amazon's own.
            assert adapter is ADAPTERS["ses"], place
            assert sns.signed_text(sns.read(given.body)) == sns.signed_text(sns.read(request.body))
    for end in range(len(request.body)):
        assert refused(adapter, changed(request, body=request.body[:end]), scheme.secrets), end


def test_every_byte_of_mailguns_proof_counts() -> None:
    for request in (
        requests.mailgun({"event": "opened"}, NOW),
        requests.mailgun_form({"event": "opened"}, NOW),
        requests.mailgun_form({"event": "opened"}, NOW, multipart=True),
    ):
        for value in (requests.mailgun_proof(NOW, mailgun.token(request))[each] for each in ("token", "signature")):
            begin = request.body.index(value.encode())
            for place in range(begin, begin + len(value)):
                flipped = bytearray(request.body)
                flipped[place] ^= 1
                given = changed(request, body=bytes(flipped))
                assert refused(ADAPTERS["mailgun"], given, HookSecrets(signing_keys=(SECRET,)))


def test_another_content_type_proves_nothing() -> None:
    keyed = HookSecrets(signing_keys=(SECRET,))
    for adapter, request in (
        ("mailgun", requests.mailgun_form({"event": "opened"}, NOW)),
        ("mailgun", requests.mailgun_form({"event": "opened"}, NOW, multipart=True)),
        ("mandrill", requests.mandrill([])),
    ):
        given = changed(request, headers={**request.headers, "content-type": "application/json"})
        assert refused(ADAPTERS[adapter], given, keyed)
    form = changed(requests.mailgun({}, NOW), headers={"content-type": "multipart/form-data"})
    assert refused(ADAPTERS["mailgun"], form, keyed)


def test_mailguns_digits_do_not_move_between_time_and_token() -> None:
    request = requests.mailgun({}, NOW, token="123456")
    proof = json.loads(request.body)["signature"]
    for shift in range(-3, 4):
        text = proof["timestamp"] + proof["token"]
        end = len(proof["timestamp"]) + shift
        body = json.dumps({"signature": proof | {"timestamp": text[:end], "token": text[end:]}}).encode()
        is_refused = refused(ADAPTERS["mailgun"], changed(request, body=body), HookSecrets(signing_keys=(SECRET,)))
        assert is_refused == (shift != 0)


def test_mailguns_time_may_be_a_number() -> None:
    whole = json.loads(requests.mailgun({}, NOW).body)
    for timestamp, expected in ((int(NOW), False), (int(NOW) + 1, True), (NOW, True), (True, True)):
        body = json.dumps(whole | {"signature": whole["signature"] | {"timestamp": timestamp}}).encode()
        assert refused(ADAPTERS["mailgun"], HookRequest({}, body), HookSecrets(signing_keys=(SECRET,))) is expected


def test_a_subaccount_of_mailgun_is_proved_by_the_key_of_the_account_above_it() -> None:
    whole = json.loads(requests.mailgun({}, NOW).body)
    own = requests.mailgun_proof(NOW, whole["signature"]["token"], key="of-the-subaccount")

    def is_refused(parent: object, key: str = SECRET) -> bool:
        body = json.dumps({"signature": own | {"parent-signature": parent}}).encode()
        return refused(ADAPTERS["mailgun"], HookRequest({}, body), HookSecrets(signing_keys=(key,)))

    assert not is_refused(whole["signature"]["signature"])
    assert not is_refused(None, key="of-the-subaccount")
    assert is_refused(None)
    assert is_refused("")
    assert is_refused(own["signature"])
    assert is_refused(5, key="of-the-subaccount")


def test_mandrill_signs_any_of_the_addresses_and_tries_a_new_one() -> None:
    keyed, adapter = HookSecrets(signing_keys=(SECRET,)), ADAPTERS["mandrill"]
    assert not refused(adapter, requests.mandrill([], url=f"{requests.URL}?a=1"), keyed)
    assert refused(adapter, requests.mandrill([], url="https://evil.example.net/"), keyed)
    assert not refused(adapter, requests.mandrill("[]", key="test-webhook"), HookSecrets())
    assert refused(adapter, requests.mandrill([{"event": "open"}], key="test-webhook"), HookSecrets())
    assert refused(adapter, requests.mandrill([]), HookSecrets())


@pytest.mark.parametrize(
    "changes",
    [
        {"TopicArn": "arn:aws:sns:eu-west-1:999999999999:mail-events"},
        {"Type": "Other"},
        {"SignatureVersion": "3"},
        {"Timestamp": "yesterday"},
        *(
            {"SigningCertURL": url}
            for url in (
                "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
                "https://sns.eu-west-1.amazonaws.com.evil.example.net/SimpleNotificationService-1.pem",
                "https://evil.example.net/SimpleNotificationService-1.pem",
                "https://sns.eu-west-1.amazonaws.com:444/SimpleNotificationService-1.pem",
                "https://a@sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
                "https://sns.eu-west-1.amazonaws.com/other/SimpleNotificationService-1.pem",
                "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem\n",
                "https://s3.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
                "https://[sns",
            )
        ),
    ],
)
def test_what_sns_signed_is_not_enough(changes: dict[str, str]) -> None:
    changes, version = dict(changes), changes.get("SignatureVersion", "2")
    changes.pop("SignatureVersion", None)
    request = requests.sns("{}", NOW, version=version, **changes)
    secrets = schemes(NOW)["ses"].secrets
    assert refused(ADAPTERS["ses"], request, secrets)
    with pytest.raises(BadSignature):  # before anybody asks for the certificate
        sns.examine(request, secrets.topic_arns, NOW)


def test_one_signature_of_sns_is_good_for_one_message() -> None:
    def signed(message: str, message_id: str, subject: str) -> HookRequest:
        return requests.sns(message, NOW, MessageId=message_id, Subject=subject)

    first = signed("a\nMessageId\nb\nSubject\nc", "d", "e")
    other = signed("a", "b", "c\nMessageId\nd\nSubject\ne")
    assert sns.signed_text(sns.read(first.body)) == sns.signed_text(sns.read(other.body))
    secrets = schemes(NOW)["ses"].secrets
    assert [refused(ADAPTERS["ses"], each, secrets) for each in (first, other)] == [False, True]


def test_certificates_have_their_time() -> None:
    request = requests.sns("{}", NOW)
    for begins, days, expected in ((NOW - 86_400, 365, False), (NOW + 3_600, 365, True), (NOW - 40 * 86_400, 30, True)):
        secrets = HookSecrets(topic_arns=(TOPIC,), certificate=requests.certificate(begins, days))
        assert refused(ADAPTERS["ses"], request, secrets) is expected


def test_sns_sends_nothing_that_long() -> None:
    request = requests.sns("x" * sns.MOST_BYTES, NOW)
    assert refused(ADAPTERS["ses"], request, schemes(NOW)["ses"].secrets)


def test_subscriptions_are_confirmed_at_amazon_alone() -> None:
    request = requests.sns("You have chosen to subscribe", NOW, kind=sns.SUBSCRIPTION)
    ADAPTERS["ses"].verify(request, schemes(NOW)["ses"].secrets, NOW)
    assert sns.confirmation_url(sns.read(request.body)) == requests.SUBSCRIBE_URL
    other = requests.sns("x", NOW, kind=sns.SUBSCRIPTION, SubscribeURL="https://evil.example.net/")
    assert sns.confirmation_url(sns.read(other.body)) is None
    assert sns.confirmation_url(sns.read(requests.sns("{}", NOW, SubscribeURL=requests.SUBSCRIBE_URL).body)) is None


@pytest.mark.parametrize("text", ["", "x", "AAAA", requests.WHSEC, "é"])
def test_sendgrids_key_is_one_on_p_256(text: str) -> None:
    with pytest.raises(ValueError, match="SendGrid"):
        read_key(text)
    with pytest.raises(ValueError, match="P-256"):
        read_key(requests.public_text(ec.generate_private_key(ec.SECP384R1())))


def test_forms_of_secrets_and_topics() -> None:
    check_secret("a-Z_9" * 51)
    sns.check_topic(TOPIC)
    sns.check_topic("arn:aws-cn:sns:cn-north-1:123456789012:x.fifo")
    for bad in ("", "a" * 257, "a b", "é"):
        with pytest.raises(ValueError, match="256"):
            check_secret(bad)
        with pytest.raises(ValueError, match="ARN"):
            sns.check_topic(bad)
