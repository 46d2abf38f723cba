"""The header that each relay reads: what it makes of it is what its reports say, and what its adapter finds."""

import json
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any

import pytest

from channels.contract import Content
from channels.mime import Mail
from channels.providers.brevo import BrevoProvider
from channels.providers.contract import HookRequest, ProviderAdapter
from channels.providers.mailgun import MailgunProvider
from channels.providers.mailjet import MailjetProvider
from channels.providers.mandrill import MandrillProvider
from channels.providers.postmark import PostmarkProvider
from channels.providers.resend import ResendProvider
from channels.providers.sendgrid import SendGridProvider
from channels.providers.ses import SesProvider
from channels.providers.sparkpost import SparkPostProvider
from channels.relay_headers import relay_header
from channels.smtp_replies import receipt
from models import ids
from models.ids import Kind
from tests.support import provider_requests as requests
from tests.support.provider_requests import plain

MESSAGE = ids.new_id()
SHOWN = ids.show(Kind.MESSAGE, MESSAGE)
NOW = 1_800_000_000


def mail_by(host: str, **headers: str) -> Any:
    """The mail's header as the relay at ``host`` reads it."""
    content = Content(subject="Hello", body="x", headers=headers)
    mail = Mail(content, sender_name="", sender="news@example.org", domain="example.org", relay=relay_header(host))
    raw = mail.fill(
        message_id=SHOWN,
        run=3,
        recipient="ann@example.net",
        variables={},
        date=datetime.fromtimestamp(NOW, UTC),
        opt_out_url="https://example.org/u/t",
    )
    return message_from_bytes(raw, policy=policy.default)


def sendgrid(mail: Any) -> HookRequest:
    arguments = json.loads(mail["X-SMTPAPI"])["unique_args"]
    return plain([{"event": "open"} | arguments])


def mailgun(mail: Any) -> HookRequest:
    return requests.mailgun({"event": "opened", "user-variables": json.loads(mail["X-Mailgun-Variables"])}, NOW)


def postmark(mail: Any) -> HookRequest:
    return plain({"RecordType": "Open", "Metadata": {"wireroom": mail["X-PM-Metadata-wireroom"]}})


def ses(mail: Any) -> HookRequest:
    name, _, value = mail["X-SES-MESSAGE-TAGS"].partition("=")
    return requests.sns(json.dumps({"eventType": "Open", "mail": {"tags": {name: [value]}}}), NOW)


def brevo(mail: Any) -> HookRequest:
    return plain({"event": "opened", "X-Mailin-custom": mail["X-Mailin-custom"]})


def mailjet(mail: Any) -> HookRequest:
    return plain({"event": "open", "CustomID": mail["X-MJ-CustomID"]})


def sparkpost(mail: Any) -> HookRequest:
    metadata = json.loads(mail["X-MSYS-API"])["metadata"]
    return plain([{"msys": {"track_event": {"type": "open", "rcpt_meta": metadata}}}])


def mandrill(mail: Any) -> HookRequest:
    return requests.mandrill([{"event": "open", "msg": {"metadata": json.loads(mail["X-MC-Metadata"])}}])


def resend(mail: Any) -> HookRequest:
    headers = [{"name": name, "value": value} for name, value in mail.items()]
    return plain({"type": "email.opened", "data": {"headers": headers}})


@pytest.mark.parametrize(
    ("host", "report", "adapter"),
    [
        ("smtp.sendgrid.net", sendgrid, SendGridProvider()),
        ("smtp.eu.sendgrid.net", sendgrid, SendGridProvider()),
        ("smtp.mailgun.org", mailgun, MailgunProvider()),
        ("smtp.eu.mailgun.org", mailgun, MailgunProvider()),
        ("smtp-broadcasts.postmarkapp.com", postmark, PostmarkProvider()),
        ("email-smtp.eu-west-1.amazonaws.com", ses, SesProvider()),
        ("email-smtp-fips.us-east-1.amazonaws.com", ses, SesProvider()),
        ("smtp-relay.brevo.com", brevo, BrevoProvider()),
        ("smtp-relay.sendinblue.com", brevo, BrevoProvider()),
        ("in-v3.mailjet.com", mailjet, MailjetProvider()),
        ("smtp.eu.sparkpostmail.com", sparkpost, SparkPostProvider()),
        ("SMTP.MandrillApp.com.", mandrill, MandrillProvider()),
        ("smtp.resend.com", resend, ResendProvider()),
    ],
)
def test_what_a_relay_is_told_it_says_again(host: str, report: Any, adapter: ProviderAdapter) -> None:
    (event,) = adapter.parse(report(mail_by(host)))
    assert (event.message_ref, event.run) == (MESSAGE, 3)


@pytest.mark.parametrize(
    "host",
    [
        "smtp.example.org",
        "127.0.0.1",
        "localhost",
        "smtp.resend.com",
        "notsendgrid.net",
        "sendgrid.net.example.com",
        "s3.eu-west-1.amazonaws.com",
        "email-smtp.example.com",
    ],
)
def test_other_servers_are_told_nothing(host: str) -> None:
    assert relay_header(host) is None
    assert "wireroom" not in json.dumps(
        [value for name, value in mail_by(host).items() if not name.lower().startswith(("x-wireroom", "message-id"))]
    )


def test_a_header_of_the_senders_own_stands() -> None:
    mail = mail_by("smtp.sendgrid.net", **{"x-smtpapi": '{"category": "a"}'})
    assert mail.get_all("X-SMTPAPI") == ['{"category": "a"}']
    assert mail["X-Wireroom-Message"] == f"{SHOWN}; run=3"


def test_amazons_own_id_of_a_mail() -> None:
    own = "0102018f2b3c4d5e-1a2b3c4d-1111-2222-3333-0123456789ab-000000"
    assert receipt(250, f"Ok {own}").provider_id == own
    assert receipt(250, "Ok 0102").provider_id is None
