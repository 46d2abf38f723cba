"""What providers' words mean in ours: those that sign nothing, Mandrill, and Telegram."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from channels.providers.brevo import BrevoProvider
from channels.providers.contract import ProviderAdapter
from channels.providers.mailjet import MailjetProvider
from channels.providers.mandrill import MandrillProvider
from channels.providers.sparkpost import SparkPostProvider
from channels.providers.telegram import TelegramProvider
from tests.support import provider_requests as requests
from tests.support.provider_requests import plain
from tests.unit.test_provider_words import NOW, OURS, check_one, meaning, parsed


def keys(adapter: ProviderAdapter, *values: Any) -> list[bytes]:
    return [event.dedupe for value in values for event in parsed(adapter, value)]


# --- Brevo


def brevo(name: str, **fields: Any) -> dict[str, Any]:
    common = {"email": "ann@example.org", "id": 26224, "ts": NOW - 50, "ts_event": NOW, "message-id": "<2020@relay>"}
    return {"event": name, "X-Mailin-custom": f"wireroom:{OURS}"} | common | fields


BREVO: Final = {
    "request": "accepted",
    "sent": "accepted",
    "delivered": "delivered",
    "deferred": "deferred",
    "soft_bounce": "bounced soft",
    "hard_bounce": "bounced hard",
    "invalid_email": "bounced hard",
    "blocked": "failed",
    "error": "failed",
    "spam": "complained",
    "complaint": "complained",
    "unsubscribed": "unsubscribed",
    "unsubscribe": "unsubscribed",
    "opened": "opened",
    "unique_opened": "opened",
    "proxy_open": "opened machine",
    "unique_proxy_open": "opened machine",
    "click": "clicked",
    "list_addition": "ignored",
    "danced": "ignored",
}


@pytest.mark.parametrize(("name", "expected"), BREVO.items())
def test_brevo(name: str, expected: str) -> None:
    (read,) = parsed(BrevoProvider(), brevo(name))
    assert (meaning(read), read.provider_event) == (expected, name)
    check_one(read, provider_ref="2020@relay")


def test_brevos_batches_and_repetitions() -> None:
    batch = parsed(BrevoProvider(), [brevo("request"), brevo("delivered"), 5])
    assert [meaning(event) for event in batch] == ["accepted", "delivered", "ignored"]
    first, again, later, other = keys(
        BrevoProvider(), brevo("click"), brevo("click", id=7), brevo("click", ts_event=NOW + 1), brevo("opened")
    )
    assert first == again
    assert len({first, later, other}) == 3


# --- Mailjet


def mailjet(name: str, **fields: Any) -> dict[str, Any]:
    common = {"time": NOW, "MessageID": 19421777835146490, "email": "ann@example.org"}
    return {"event": name, "CustomID": OURS, "Payload": ""} | common | fields


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (mailjet("sent", smtp_reply="sent (250 2.0.0 OK)"), "delivered"),
        (mailjet("open"), "opened"),
        (mailjet("click", url="https://example.com"), "clicked"),
        (mailjet("bounce", hard_bounce=True, error="user unknown"), "bounced hard"),
        (mailjet("bounce", hard_bounce=False, error="quota exceeded"), "bounced soft"),
        (mailjet("bounce", hard_bounce=False, error="greylisted"), "deferred"),
        (mailjet("bounce", hard_bounce=True, error="greylisted"), "bounced hard"),
        (mailjet("blocked", error="preblocked"), "failed"),
        (mailjet("spam", source="JMRPP"), "complained"),
        (mailjet("unsub"), "unsubscribed"),
        (mailjet("typofix"), "ignored"),
        (mailjet("danced"), "ignored"),
        (mailjet("open", CustomID="", Payload=OURS), "opened"),
    ],
)
def test_mailjet(event: dict[str, Any], expected: str) -> None:
    (read,) = parsed(MailjetProvider(), event)
    assert meaning(read) == expected
    check_one(read, provider_ref="19421777835146490")
    (batched,) = parsed(MailjetProvider(), [event])
    assert batched.dedupe == read.dedupe


def test_mailjets_repetitions() -> None:
    first, again, url, time = keys(
        MailjetProvider(),
        mailjet("click"),
        mailjet("click", ip="192.0.2.1"),
        mailjet("click", url="x"),
        mailjet("open"),
    )
    assert first == again
    assert len({first, url, time}) == 3


# --- SparkPost


def sparkpost(name: str, kind: str = "message_event", **fields: Any) -> dict[str, Any]:
    common = {"event_id": "92356927693813856", "message_id": "000443ee14578172be22", "timestamp": str(NOW)}
    known = {"type": name, "rcpt_meta": {"wireroom": OURS}, "raw_rcpt_to": "ann@example.org"}
    return {"msys": {kind: known | common | fields}}


CLASSES: Final[Mapping[str, str]] = {
    **dict.fromkeys(["10", "30"], "bounced hard"),
    **dict.fromkeys(["1", "20", "21", "22", "23", "24", "40", "70"], "bounced soft"),
    **dict.fromkeys(["25", "50", "51", "52", "53", "54"], "bounced soft"),
    **dict.fromkeys(["60", "80", "100"], "ignored"),
    "26": "failed",
    "90": "unsubscribed",
    "7": "bounced soft",
}
ON_ITS_LIST: Final = "554 5.7.1 [internal] recipient address was suppressed due to customer policy"
SPARKPOST: Final[Mapping[str, str]] = {
    "injection": "accepted",
    "delivery": "delivered",
    "delay": "deferred",
    "spam_complaint": "complained",
    "policy_rejection": "failed",
    "generation_failure": "failed",
    "generation_rejection": "failed",
    "open": "opened",
    "initial_open": "opened",
    "amp_open": "opened",
    "amp_initial_open": "opened",
    "click": "clicked",
    "amp_click": "clicked",
    "list_unsubscribe": "unsubscribed",
    "link_unsubscribe": "unsubscribed",
    "relay_delivery": "ignored",
    "danced": "ignored",
}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        *((sparkpost(name), expected) for name, expected in SPARKPOST.items()),
        *((sparkpost("bounce", bounce_class=each), expected) for each, expected in CLASSES.items()),
        (sparkpost("out_of_band", bounce_class="10"), "bounced hard"),
        (sparkpost("out_of_band", bounce_class="22"), "bounced soft"),
        (sparkpost("bounce", bounce_class="25", raw_reason=ON_ITS_LIST), "failed"),
        (sparkpost("open", "track_event", is_prefetched=True), "opened machine"),
    ],
)
def test_sparkpost(event: dict[str, Any], expected: str) -> None:
    (read,) = parsed(SparkPostProvider(), [event])
    assert meaning(read) == expected
    check_one(read, provider_ref="000443ee14578172be22")


def test_sparkposts_pings_and_repetitions() -> None:
    assert parsed(SparkPostProvider(), [{"msys": {}}]) == []
    first, again, other = keys(
        SparkPostProvider(), [sparkpost("open"), sparkpost("open", num_retries="2"), sparkpost("open", event_id="2")]
    )
    assert first == again != other
    one, same, two = keys(
        SparkPostProvider(), *(sparkpost("open", event_id=None, timestamp=str(NOW + each)) for each in (0, 0, 1))
    )
    assert one == same != two


def test_sparkposts_own_list_reads_suppressed() -> None:
    listed = [sparkpost("bounce", bounce_class="26"), sparkpost("bounce", bounce_class="25", raw_reason=ON_ITS_LIST)]
    assert [(read.reason or "").partition(":")[0] for read in parsed(SparkPostProvider(), listed)] == ["suppressed"] * 2


def test_what_is_kept_of_a_sparkpost_request_is_no_longer_than_it_is() -> None:
    crowd = {"msys": {f"message_event{number}": {"type": "open"} for number in range(1_000)}}
    request = plain([crowd, sparkpost("open")])
    read = SparkPostProvider().parse(request)
    assert [event.type.value for event in read] == ["ignored", "opened"]
    assert sum(len(event.raw) for event in read) <= len(request.body)


# --- Mandrill


def mandrill(name: str, **fields: Any) -> dict[str, Any]:
    message = {"_id": "m1", "email": "ann@example.org", "metadata": {"wireroom": OURS}}
    return {"event": name, "_id": "m1", "ts": NOW, "msg": message} | fields


MANDRILL: Final = {
    "send": "accepted",
    "delivered": "delivered",
    "deferral": "deferred",
    "hard_bounce": "bounced hard",
    "soft_bounce": "bounced soft",
    "open": "opened",
    "click": "clicked",
    "spam": "complained",
    "unsub": "unsubscribed",
    "reject": "failed",
    "inbound": "ignored",
    "danced": "ignored",
}


def test_mandrill() -> None:
    events = parsed(MandrillProvider(), requests.mandrill([mandrill(name) for name in MANDRILL]))
    assert {event.provider_event: meaning(event) for event in events} == MANDRILL
    for event in events:
        check_one(event, provider_ref="m1")


def test_mandrills_lists_and_repetitions() -> None:
    sync = {"type": "blacklist", "action": "add", "reject": {"email": "ann@example.org", "reason": "hard-bounce"}}
    first, again, url, listed = parsed(
        MandrillProvider(),
        requests.mandrill([mandrill("click"), mandrill("click", ip="192.0.2.1"), mandrill("click", url="x"), sync]),
    )
    assert first.dedupe == again.dedupe != url.dedupe
    assert (meaning(listed), listed.recipient, listed.reason) == ("ignored", "ann@example.org", "hard-bounce")


# --- Telegram


def membership(status: str, **fields: Any) -> dict[str, Any]:
    chat = {"id": 42, "type": "private"}
    member = {"status": status} | fields
    return {"update_id": 7, "my_chat_member": {"chat": chat, "date": NOW, "new_chat_member": member}}


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (membership("kicked"), "bounced hard"),
        (membership("left"), "bounced hard"),
        (membership("restricted", is_member=False), "bounced hard"),
        (membership("restricted", is_member=True), "resubscribed"),
        (membership("member"), "resubscribed"),
        (membership("administrator"), "resubscribed"),
        (membership("danced"), "ignored"),
    ],
)
def test_telegrams_memberships(update: dict[str, Any], expected: str) -> None:
    (read,) = parsed(TelegramProvider(), requests.telegram(update))
    assert (meaning(read), read.recipient, read.at) == (expected, "42", NOW * 1000)
    assert (read.message_ref, read.provider_ref) == (None, None)
    assert (read.reason == "blocked") is (expected == "bounced hard")


def test_telegrams_buttons_are_clicks_of_their_message() -> None:
    message = {"message_id": 5, "chat": {"id": -1001}, "date": NOW}
    press = {"update_id": 8, "callback_query": {"id": "q", "data": "yes", "message": message}}
    (read,) = parsed(TelegramProvider(), requests.telegram(press))
    assert (meaning(read), read.provider_ref, read.at) == ("clicked", "-1001:5", None)
    inline = {"update_id": 9, "callback_query": {"id": "q", "inline_message_id": "x"}}
    (other,) = parsed(TelegramProvider(), requests.telegram(inline))
    assert (meaning(other), other.provider_ref) == ("clicked", None)
    assert read.dedupe == parsed(TelegramProvider(), requests.telegram(press))[0].dedupe != other.dedupe


def test_other_updates_are_kept() -> None:
    (read,) = parsed(TelegramProvider(), requests.telegram({"update_id": 1, "message": {"text": "hi"}}))
    assert (meaning(read), read.provider_event) == ("ignored", "message")
