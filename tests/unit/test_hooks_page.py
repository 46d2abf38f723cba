"""That ``docs/hooks.md`` and ``docs/providers/`` tell of every provider, of its words, and of every relay's header."""

import re
from typing import Final

import pytest

from api_shim.hook_providers import PROVIDERS
from channels.relay_headers import relay_header
from channels.smtp_url import parse_smtp_url
from models.events import ParsedEvent
from models.evidence import Provider
from models.lifecycle import facts_of
from models.vocabulary import BounceType, EventType, Fact
from tests.fuzz.all_requests import Aim, reports
from tests.support.page_links import ROOT

PAGE: Final = (ROOT / "docs" / "hooks.md").read_text()
PAGES: Final = {provider: ROOT / "docs" / "providers" / f"{provider}.md" for provider in PROVIDERS}
ROWS: Final = [line for line in PAGE.splitlines() if line.startswith("| [`")]
AIM = Aim(1, 1_800_000_000, 1_800_000_000, "msg_00000000000000000000000001", "7000000000000001", "b-x@example.org", "")
OWN = "X-Wireroom-Message"  # every mail has it; Resend repeats all headers
RELAYS = (
    "smtp.sendgrid.net smtp.mailgun.org smtp.postmarkapp.com email-smtp.eu-west-1.amazonaws.com smtp-relay.brevo.com "
    "in-v3.mailjet.com smtp.sparkpostmail.com smtp.mandrillapp.com"
)
MESSAGE: Final = {
    Fact.DELIVERED: "DELIVERED",
    Fact.OPENED: "OPENED",
    Fact.MACHINE_OPENED: "`machineOpenedAt`",
    Fact.CLICKED: "CLICKED",
    Fact.MACHINE_CLICKED: "`machineClickedAt`",
    Fact.HARD_BOUNCED: "BOUNCED, `hard`",
    Fact.SOFT_BOUNCED: "BOUNCED, `soft`",
    Fact.COMPLAINED: "UNSUBSCRIBED, complained",
    Fact.UNSUBSCRIBED: "UNSUBSCRIBED",
}
"""What a page says of a message of which an event establishes a fact."""


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_provider_has_a_row_and_a_page(provider: Provider) -> None:
    (row,) = [row for row in ROWS if f"[`{provider}`](providers/{PAGES[provider].name})" in row]
    known = PROVIDERS[provider]
    key = row.split("|")[2]
    assert (known.check_key is None) == ("none" in key)
    assert (known.make_key is not None) == ("made if absent" in key)
    assert known.needs_key == ("at once" in key)
    assert known.by_topic == ("topicArns" in key)
    page = PAGES[provider].read_text()
    (asked,) = re.findall(r"-d '(\{.*\})'", page)
    assert f'"provider": "{provider}"' in asked
    assert ("signingKey" in asked) == known.needs_key
    assert ("topicArns" in asked) == known.by_topic
    assert [title for title in ("Set-up", "What proves a report", "What each report means") if title not in page] == []
    assert f"GET …/events?provider={provider}" in page


@pytest.mark.parametrize("provider", [each for each, known in PROVIDERS.items() if known.adapter is not None])
def test_what_each_event_becomes_stands_on_its_page(provider: Provider) -> None:
    """Each of the examples in a row that says what it does, and no row that no example bears out."""
    page = re.sub(r"(?s)```.*?```", "", PAGES[provider].read_text())
    events = [event for event in examples(provider) if event.type is not EventType.IGNORED]
    # Subtypes and numbers of classes are told in sum.
    names = 1 if provider in (Provider.SES, Provider.SPARKPOST) else 2
    words = {word for event in events for word in event.provider_event.split("/")[:names]}
    assert words
    assert words - set(re.findall(r"`([^`]+)`", page)) == set()
    shown = {(event.provider_event.split("/")[0], becomes(event)) for event in events}
    assert rows(page) == shown


def examples(provider: Provider) -> list[ParsedEvent]:
    adapter = PROVIDERS[provider].adapter
    assert adapter is not None
    requests = [each.request(AIM) for each in reports() if each.provider is provider]
    return [event for request in requests for event in adapter.parse(request)]


def rows(page: str) -> set[tuple[str, tuple[str, str]]]:
    """Each word of a page's table, with what its row says that becomes of the message and of the address."""
    table = page.partition("## What each report means\n")[2]
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines() if line[:3] == "| `"
    ]
    # What stands behind "where" narrows the words before it, and a semicolon begins anew.
    clauses = [(part.partition(" where ")[0], (row[1], row[2])) for row in cells for part in row[0].split(";")]
    return {(word, becomes) for clause, becomes in clauses for word in re.findall(r"`([^`]+)`", clause)}


def becomes(event: ParsedEvent) -> tuple[str, str]:
    """What an event does to its message and to its address, in the pages' words."""
    return _message(event), _address(event)


def _message(event: ParsedEvent) -> str:
    facts = facts_of(event.type, bounce_type=event.bounce_type, machine=event.machine) - {Fact.SENT}
    if event.type is EventType.RESUBSCRIBED or event.provider_event == "my_chat_member":  # of a chat, and no message
        return "stays as it is"
    if Fact.FAILED in facts:
        of_their_list = (event.reason or "").startswith("suppressed")
        return "FAILED; the report's `reason` begins with `suppressed`" if of_their_list else "FAILED"
    return " ".join(MESSAGE[fact] for fact in facts) or "SENT"


def _address(event: ParsedEvent) -> str:
    if event.bounce_type is BounceType.HARD or event.type is EventType.COMPLAINED:
        return "is suppressed"
    opted = {EventType.UNSUBSCRIBED: "is opted out", EventType.RESUBSCRIBED: "is opted in again"}
    return opted.get(event.type, "stays")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_relay_that_a_page_names_is_that_of_the_table(provider: Provider) -> None:
    """The address can be read, and its host is one to which mails take their provider's header along."""
    for url in re.findall(r"WIREROOM_SMTP_URL=(\S+)", PAGES[provider].read_text()):
        host = parse_smtp_url(url).host
        (row,) = [row for row in PAGE.splitlines() if host.replace("eu-west-1", "<region>") in row]
        assert re.sub(r"[^a-z]", "", row.split("|")[1].lower()).endswith(provider)


def test_each_relay_has_its_hosts_and_its_header() -> None:
    rows = re.findall(r"^\| [^|]+ \| (`[^|]+`) \| `([\w-]+)` \|$", PAGE, re.M)
    told = {host: header for hosts, header in rows for host in re.findall(r"`([^`]+)`", hosts)}
    assert set(RELAYS.split()) <= {host.replace("<region>", "eu-west-1") for host in told}
    for host, header in told.items():
        read = relay_header(host.replace("<region>", "eu-west-1"))
        assert header == (OWN if read is None else read.name), host
