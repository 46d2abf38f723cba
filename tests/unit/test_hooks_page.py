"""That ``docs/hooks.md`` tells of every provider and of every header that relays read."""

import re
from pathlib import Path

import pytest

from api_shim.hook_providers import PROVIDERS
from channels.relay_headers import relay_header
from models.evidence import Provider

PAGE = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]
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
    sections = {re.sub(r"[^a-z]", "", title.lower()) for title in re.findall("^## (.*)$", PAGE, re.M)}
    name = provider.value.replace("-", "")
    assert provider is Provider.GENERIC or any(title.endswith(name) for title in sections)


@pytest.mark.parametrize("host", RELAYS.split())
def test_each_header_is_named(host: str) -> None:
    header = relay_header(host)
    assert header is not None
    assert f"`{header.name}`" in PAGE
