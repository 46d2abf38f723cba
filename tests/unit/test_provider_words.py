"""What providers' words mean in ours: every event that their documentation names."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.providers.brevo import BrevoProvider
from channels.providers.contract import HookRequest, ProviderAdapter, TooManyEvents
from channels.providers.mailgun import MailgunProvider
from channels.providers.mailjet import MailjetProvider
from channels.providers.mandrill import MandrillProvider
from channels.providers.postmark import PostmarkProvider
from channels.providers.resend import ResendProvider
from channels.providers.sendgrid import SendGridProvider
from channels.providers.ses import SesProvider
from channels.providers.sparkpost import SparkPostProvider
from channels.providers.telegram import TelegramProvider, callback_id
from models.events import ParsedEvent
from models.vocabulary import EventType
from tests.support import provider_requests as requests
from tests.support.provider_examples import (
    MAILGUN,
    MAILGUN_FORMS,
    MESSAGE,
    MESSAGE_ID,
    NOW,
    OURS,
    POSTMARK,
    RESEND,
    SENDGRID,
    SES,
    SHOWN,
    WHEN,
    mailgun,
    postmark,
    sendgrid,
    ses,
)
from tests.support.provider_requests import plain


def meaning(event: ParsedEvent) -> str:
    """A type of ours, with what is said beside it: ``bounced hard``, ``opened machine``."""
    words = [event.type.value, *([event.bounce_type.value] if event.bounce_type else [])]
    return " ".join([*words, *(["machine"] if event.machine else [])])


def parsed(adapter: ProviderAdapter, value: Any) -> list[ParsedEvent]:
    return list(adapter.parse(value if isinstance(value, HookRequest) else plain(value)))


def meanings(adapter: ProviderAdapter, values: Iterable[Any]) -> list[str]:
    return [meaning(event) for value in values for event in parsed(adapter, value)]


def check_one(event: ParsedEvent, *, provider_ref: str | None, at: int | None = NOW * 1000) -> None:
    """What each example is about: one recipient of one message of ours, at one time."""
    assert (event.message_ref, event.run, event.provider_ref) == (MESSAGE, 2, provider_ref)
    assert (event.recipient, event.at) == ("ann@example.org", at)


# --- SendGrid


@pytest.mark.parametrize(("event", "expected"), SENDGRID)
def test_sendgrid(event: dict[str, Any], expected: str) -> None:
    (read,) = parsed(SendGridProvider(), [event])
    assert (meaning(read), read.provider_event) == (expected, event["event"])
    check_one(read, provider_ref="14c5d75ce93")


def test_sendgrid_batches_and_repetitions() -> None:
    one, two, again = sendgrid("open"), sendgrid("open", timestamp=NOW + 1), sendgrid("open", sg_event_id="another")
    first, second, repeated = parsed(SendGridProvider(), [one, two, again])
    assert first.dedupe == repeated.dedupe != second.dedupe
    bare = [{"event": "open", "sg_event_id": each} for each in "aab"]
    keys = [event.dedupe for event in parsed(SendGridProvider(), bare)]
    assert keys[0] == keys[1] != keys[2]
    (by_message_id,) = parsed(SendGridProvider(), [{"event": "open", "smtp-id": MESSAGE_ID}])
    assert (by_message_id.message_ref, by_message_id.run) == (MESSAGE, 2)


def test_what_sendgrid_drops_for_its_own_list() -> None:
    for reason, expected in (("Unsubscribed Address", "suppressed: U"), ("Invalid SMTPAPI header", "Invalid S")):
        (event,) = parsed(SendGridProvider(), [sendgrid("dropped", reason=reason)])
        assert (event.reason or "").startswith(expected)


# --- Mailgun


@pytest.mark.parametrize(("event", "expected"), MAILGUN)
def test_mailgun(event: dict[str, Any], expected: str) -> None:
    (read,) = parsed(MailgunProvider(), requests.mailgun(event, NOW))
    assert meaning(read) == expected
    check_one(read, provider_ref=MESSAGE_ID.strip("<>"))


def test_mailguns_ids_are_unique_within_a_day() -> None:
    def key(**fields: Any) -> bytes:
        (event,) = parsed(MailgunProvider(), requests.mailgun(mailgun("opened", **fields), NOW))
        return event.dedupe

    assert key() == key(timestamp=NOW + 1) != key(timestamp=NOW + 86_400)
    assert len({key(), key(id="x"), key(event="clicked"), key(id=None)}) == 4


@pytest.mark.parametrize(("name", "fields", "expected"), MAILGUN_FORMS)
@pytest.mark.parametrize("multipart", [False, True])
def test_mailguns_former_webhooks(name: str, fields: dict[str, str], expected: str, *, multipart: bool) -> None:
    form = {"event": name, "recipient": "ann@example.org", "Message-Id": MESSAGE_ID, "wireroom": OURS} | fields
    (read,) = parsed(MailgunProvider(), requests.mailgun_form(form, NOW, multipart=multipart))
    assert meaning(read) == expected
    check_one(read, provider_ref=MESSAGE_ID.strip("<>"))


def test_mailguns_former_webhooks_list_the_mails_headers() -> None:
    headers = json.dumps([["Received", "by x"], ["X-Mailgun-Variables", json.dumps({"wireroom": OURS})]])
    form = {"event": "bounced", "message-headers": headers, "recipient": "ann@example.org"}
    (read,) = parsed(MailgunProvider(), requests.mailgun_form(form, NOW))
    check_one(read, provider_ref=None)


# --- Postmark


@pytest.mark.parametrize(("event", "expected"), POSTMARK)
def test_postmark(event: dict[str, Any], expected: str) -> None:
    (read,) = parsed(PostmarkProvider(), event)
    assert meaning(read) == expected
    check_one(read, provider_ref="883953f4-6105-42a2-a16a-77a8eac79483")


def test_postmarks_bounces_have_ids_and_nothing_else_has() -> None:
    def key(record: str, **fields: Any) -> bytes:
        (event,) = parsed(PostmarkProvider(), postmark(record, **fields))
        return event.dedupe

    assert key("Bounce", ID=1, BouncedAt=WHEN) == key("Bounce", ID=1) != key("Bounce", ID=2)
    assert key("Open", ReceivedAt=WHEN) == key("Open", ReceivedAt=WHEN, Extra=1) != key("Open", ReceivedAt="2027")
    (mixed,) = parsed(PostmarkProvider(), postmark("Open", Metadata={"Wireroom": OURS}))
    assert mixed.message_ref == MESSAGE


# --- SES


def told_by_ses(event: dict[str, Any]) -> HookRequest:
    return requests.sns(json.dumps(event), NOW)


@pytest.mark.parametrize(("event", "expected"), SES)
def test_ses(event: dict[str, Any], expected: str) -> None:
    (read,) = parsed(SesProvider(), told_by_ses(event))
    assert meaning(read) == expected
    check_one(read, provider_ref="0102-ses")


def test_ses_tells_of_several_recipients() -> None:
    two = [{"emailAddress": f"{name}@example.org"} for name in ("ann", "bob")]
    request = told_by_ses(ses("Bounce", "bounce", bounceType="Permanent", bouncedRecipients=two))
    first, second = parsed(SesProvider(), request)
    assert (first.recipient, second.recipient) == ("ann@example.org", "bob@example.org")
    assert first.dedupe != second.dedupe == parsed(SesProvider(), request)[1].dedupe
    crowd = [{"emailAddress": f"{number}@example.org"} for number in range(1_000)]
    crowded = told_by_ses(ses("Bounce", "bounce", bounceType="Permanent", bouncedRecipients=crowd))
    assert len(parsed(SesProvider(), crowded)) == 50
    both = ["a@example.org", "b@example.org"]
    (opened,) = parsed(SesProvider(), told_by_ses(ses("Open", "open", mail={"destination": both})))
    assert opened.recipient is None


@pytest.mark.parametrize(
    "mail",
    [
        {"headers": [{"name": "Message-ID", "value": MESSAGE_ID}]},
        {"headers": [{"name": "X-Wireroom-Message", "value": f"{SHOWN}; run=2"}]},
        {"commonHeaders": {"messageId": MESSAGE_ID}},
    ],
)
def test_ses_finds_our_id_where_there_is_no_tag(mail: dict[str, Any]) -> None:
    (read,) = parsed(SesProvider(), told_by_ses(ses("Send", "send", mail=mail | {"tags": {"ses:x": ["y"]}})))
    check_one(read, provider_ref="0102-ses")


def test_what_a_topic_says_of_itself_is_kept() -> None:
    confirmation = requests.sns("You have chosen", NOW, kind="SubscriptionConfirmation")
    hello = requests.sns("Successfully validated SNS topic for Amazon SES event publishing.", NOW)
    assert meanings(SesProvider(), [confirmation, hello]) == ["ignored", "ignored"]


# --- Resend


@pytest.mark.parametrize(("event", "expected"), RESEND)
def test_resend(event: dict[str, Any], expected: str) -> None:
    (read,) = parsed(ResendProvider(), requests.resend(json.dumps(event).encode(), NOW))
    assert meaning(read) == expected
    check_one(read, provider_ref="56761188-7520")


def test_resends_repetitions_have_one_id() -> None:
    one, again, two = (requests.resend(b'{"type":"email.sent"}', NOW, delivery=each) for each in "aab")
    keys = [parsed(ResendProvider(), request)[0].dedupe for request in (one, again, two)]
    assert keys[0] == keys[1] != keys[2]


# --- What no body may break


ADAPTERS: Final[Sequence[ProviderAdapter]] = (
    SendGridProvider(),
    MailgunProvider(),
    PostmarkProvider(),
    SesProvider(),
    ResendProvider(),
    BrevoProvider(),
    MailjetProvider(),
    SparkPostProvider(),
    MandrillProvider(),
    TelegramProvider(),
)
_NAMES: Final = """
event type id timestamp sg_message_id event-data signature token message headers RecordType Type ID Metadata msys bounce
rcpt_meta eventType mail destination tags data to bounce_class callback_query chat update_id Message MessageId TopicArn
Timestamp Signature SignatureVersion SigningCertURL wireroom ts url msg _id new_chat_member
"""
NAMES: Final = st.sampled_from(_NAMES.split())
VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just("\0\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(), inner, max_size=4),
)
TYPES: Final = st.sampled_from(
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain", ""]
)


@given(st.binary() | VALUES.map(lambda value: json.dumps(value).encode()), TYPES, st.booleans())
def test_nothing_breaks_an_adapter(body: bytes, kind: str, wrapped: bool) -> None:
    whole = b"mandrill_events=" + body if wrapped else body
    for adapter in ADAPTERS:
        for event in adapter.parse(HookRequest(headers={"content-type": kind}, body=whole)):
            assert len(event.dedupe) == 32
            assert "\0" not in "".join(
                [event.provider_event, event.reason or "", event.recipient or "", event.provider_ref or ""]
            )
            "".join([event.provider_event, event.reason or "", event.recipient or ""]).encode()


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 200_000, b"5", b'"x"', b'{"a":' * 100_000])
def test_what_no_adapter_can_read_is_kept(body: bytes) -> None:
    for adapter in ADAPTERS:
        (event,) = adapter.parse(HookRequest(headers={"content-type": "application/json"}, body=body))
        assert event.type is EventType.IGNORED
        assert event.raw == body


def test_ten_thousand_events_and_no_more() -> None:
    many = b"[" + b",".join([b"{}"] * 10_001) + b"]"
    for adapter in (SendGridProvider(), BrevoProvider(), MailjetProvider(), SparkPostProvider()):
        with pytest.raises(TooManyEvents):
            adapter.parse(HookRequest(headers={}, body=many))
    with pytest.raises(TooManyEvents):
        MandrillProvider().parse(requests.mandrill(many.decode()))


def test_a_pressed_button_waits_for_an_answer() -> None:
    update = {"update_id": 1, "callback_query": {"id": "4382bfdwdsb323b2d9", "data": "yes"}}
    (event,) = parsed(TelegramProvider(), requests.telegram(update))
    assert callback_id(event) == "4382bfdwdsb323b2d9"
    (other,) = parsed(TelegramProvider(), requests.telegram({"update_id": 2, "message": {}}))
    assert callback_id(other) is None
