"""That ``docs/hooks.md`` tells of every provider and of every header that relays read."""

import re
from pathlib import Path

import pytest

from api_shim.hook_providers import PROVIDERS
from channels.relay_headers import relay_header
from models.evidence import Provider
from models.vocabulary import EventType
from tests.fuzz.all_requests import Aim, reports

PAGE = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]
SECTIONS = PAGE.split("\n## ")
AIM = Aim(1, 1_800_000_000, 1_800_000_000, "msg_00000000000000000000000001", "7000000000000001", "b-x@example.org", "")
OWN = "X-Wireroom-Message"  # every mail has it; Resend repeats all headers
RELAYS = (
    "smtp.sendgrid.net smtp.mailgun.org smtp.postmarkapp.com email-smtp.eu-west-1.amazonaws.com smtp-relay.brevo.com "
    "in-v3.mailjet.com smtp.sparkpostmail.com smtp.mandrillapp.com"
)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_provider_has_a_row_and_a_section(provider: Provider) -> None:
    (row,) = [row for row in ROWS if f"`{provider.value}`" in row]
    known = PROVIDERS[provider]
    key = row.split("|")[2]
    assert (known.check_key is None) == ("none" in key)
    assert (known.make_key is not None) == ("made if absent" in key)
    assert known.needs_key == ("at once" in key)
    assert known.by_topic == ("topicArns" in key)
    assert any(_letters(text.partition("\n")[0]).endswith(_letters(provider)) for text in SECTIONS)


@pytest.mark.parametrize("provider", [each for each, known in PROVIDERS.items() if known.adapter is not None])
def test_what_each_event_becomes_stands_in_its_section(provider: Provider) -> None:
    adapter = PROVIDERS[provider].adapter
    assert adapter is not None
    (section,) = [text for text in SECTIONS if _letters(text.partition("\n")[0]).endswith(_letters(provider))]
    requests = [each.request(AIM) for each in reports() if each.provider is provider]
    events = [event for request in requests for event in adapter.parse(request)]
    # Subtypes and numbers of classes are told in sum.
    names = 1 if provider in (Provider.SES, Provider.SPARKPOST) else 2
    told = [event.provider_event.split("/")[:names] for event in events if event.type is not EventType.IGNORED]
    words = {word for each in told for word in each}
    assert words
    text = re.sub(r"(?s)```.*?```", "", section)
    assert words - set(re.findall(r"`([^`]+)`", text)) == set()


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


def test_each_relay_has_its_hosts_and_its_header() -> None:
    rows = re.findall(r"^\| [^|]+ \| (`[^|]+`) \| [^|]+ \| `([\w-]+)` \|$", PAGE, re.M)
    told = {host: header for hosts, header in rows for host in re.findall(r"`([^`]+)`", hosts)}
    assert set(RELAYS.split()) <= {host.replace("<region>", "eu-west-1") for host in told}
    for host, header in told.items():
        read = relay_header(host.replace("<region>", "eu-west-1"))
        assert header == (OWN if read is None else read.name), host
