import json
import time
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from channels import standard_webhooks
from models.vocabulary import Channel
from wireroom import demo_story
from wireroom.demo_check import Sent, differences
from wireroom.demo_sinks import Arrivals, Hook, Mail
from wireroom.demo_story import Letter

MESSAGE_ID = "msg_01hzy3v9k2q8r7s6t5v4w3x2y1"
SECRET = standard_webhooks.new_secret()


def letter(wanted: Callable[[Letter], object]) -> Letter:
    return next(one for one in demo_story.singles(demo_story.people()) if wanted(one))


def sent(of: Letter) -> Sent:
    return Sent(of, MESSAGE_ID, "ct_01hzy3v9k2q8r7s6t5v4w3x2y1", SECRET)


def mail(of: Letter, *, subject: str | None = None, html: str | None = None, branch: str = "Main Street") -> Mail:
    message = EmailMessage(policy=SMTP)
    message["From"] = demo_story.SENDER
    message["To"] = of.person.email
    message["Subject"] = subject or of.subject
    message["Message-ID"] = f"<{MESSAGE_ID}.1@demo.example>"
    if of.headers:
        message["X-Library-Branch"] = branch
    message.set_content(of.text)
    if of.html:
        message.add_alternative(html or of.html, subtype="html")
    if of.attachment:
        message.add_attachment(of.attachment, "text", "plain", filename="hours.txt")
    return Mail("library@demo.example", (of.person.email,), message.as_bytes())


def hook(of: Letter, *, secret: str = SECRET, **changes: object) -> Hook:
    data = {
        "messageId": MESSAGE_ID,
        "contactId": "ct_01hzy3v9k2q8r7s6t5v4w3x2y1",
        "subject": of.subject,
        "body": of.text,
        "metadata": of.request["metadata"],
    }
    body = json.dumps({"type": "message", "timestamp": "2026-01-15T10:00:00.000Z", "data": data | changes}).encode()
    now = time.time()
    signature = standard_webhooks.sign([secret], message_id=MESSAGE_ID, timestamp=int(now), body=body)
    headers = {"webhook-id": MESSAGE_ID, "webhook-timestamp": str(int(now)), "webhook-signature": signature}
    return Hook(f"/{of.person.external_id}", headers, body, now)


HTML = letter(lambda one: one.html and "Łódź" in one.person.first_name)
ATTACHED = letter(lambda one: one.attachment)
WEBHOOK = letter(lambda one: one.channel is Channel.WEBHOOK)


@pytest.mark.parametrize("of", [HTML, ATTACHED], ids=["html", "attachment"])
def test_a_mail_that_is_as_sent_has_no_difference(of: Letter) -> None:
    assert differences([sent(of)], Arrivals(mails=[mail(of)])) == []


def test_a_webhook_that_is_as_sent_has_no_difference() -> None:
    assert differences([sent(WEBHOOK)], Arrivals(hooks=[hook(WEBHOOK)])) == []


@pytest.mark.parametrize(
    ("arrived", "named"),
    [
        ([], "arrived 0 times"),
        ([mail(HTML), mail(HTML)], "arrived 2 times"),
        ([mail(HTML, subject="Shelf")], "Subject"),
        ([mail(HTML, branch="Elsewhere")], "X-Library-Branch"),
        ([mail(HTML, html=str(HTML.html).replace("&lt;", "<"))], "HTML part"),
        ([mail(replace(HTML, text="Hello"))], "text part"),
        ([mail(replace(HTML, attachment=b"more than was sent"))], "attachments"),
        ([replace(mail(HTML), recipients=("somebody@readers.example",))], "recipients"),
    ],
)
def test_every_difference_of_a_mail_is_named(arrived: list[Mail], named: str) -> None:
    found = differences([sent(HTML)], Arrivals(mails=arrived))
    assert len(found) == 1
    assert named in found[0]


@pytest.mark.parametrize(
    ("arrived", "named"),
    [
        ([], "arrived 0 times"),
        ([hook(WEBHOOK, body="something else")], "body"),
        ([hook(WEBHOOK, extra=1)], "body"),
        ([hook(WEBHOOK, secret=standard_webhooks.new_secret())], "signature"),
        ([replace(hook(WEBHOOK), path="/reader19")], "path"),
    ],
)
def test_every_difference_of_a_webhook_is_named(arrived: list[Hook], named: str) -> None:
    found = differences([sent(WEBHOOK)], Arrivals(hooks=arrived))
    assert len(found) == 1
    assert named in found[0]
