"""What providers' words mean in ours: those that sign nothing, Mandrill, and Telegram."""

from typing import Any

import pytest

from channels.providers.brevo import BrevoProvider
from channels.providers.contract import ProviderAdapter
from channels.providers.mailjet import MailjetProvider
from channels.providers.mandrill import MandrillProvider
from channels.providers.sparkpost import SparkPostProvider
from channels.providers.telegram import TelegramProvider
from tests.support import provider_requests as requests
from tests.support.provider_examples import (
    BREVO,
    MAILJET,
    MANDRILL,
    MEMBERSHIPS,
    NOW,
    ON_ITS_LIST,
    SPARKPOST,
    brevo,
    mailjet,
    mandrill,
    sparkpost,
)
from tests.support.provider_requests import plain
from tests.unit.test_provider_words import check_one, meaning, parsed


def keys(adapter: ProviderAdapter, *values: Any) -> list[bytes]:
    return [event.dedupe for value in values for event in parsed(adapter, value)]


# --- Brevo


@pytest.mark.parametrize(("event", "expected"), BREVO)
def test_brevo(event: dict[str, Any], expected: str) -> None:
    (read,) = parsed(BrevoProvider(), event)
    assert (meaning(read), read.provider_event) == (expected, event["event"])
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


@pytest.mark.parametrize(("event", "expected"), MAILJET)
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


@pytest.mark.parametrize(("event", "expected"), SPARKPOST)
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


def test_mandrill() -> None:
    events = parsed(MandrillProvider(), requests.mandrill([event for event, _ in MANDRILL]))
    assert [meaning(event) for event in events] == [expected for _, expected in MANDRILL]
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


@pytest.mark.parametrize(("update", "expected"), MEMBERSHIPS)
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
