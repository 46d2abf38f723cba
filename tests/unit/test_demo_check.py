import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import pytest

from channels import standard_webhooks
from models.vocabulary import Channel
from wireroom import demo_story
from wireroom.demo_arrivals import Arrivals, Chat, Mail, Push
from wireroom.demo_check import Sent, differences
from wireroom.demo_http import Request
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


def hook(of: Letter, *, secret: str = SECRET, **changes: object) -> Request:
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
    return Request(f"/{of.person.external_id}", headers, body, now)


def push(of: Letter, **changes: object) -> Push:
    payload = {
        "messageId": MESSAGE_ID,
        "title": of.subject,
        "body": of.text,
        "url": "https://library.example/hours",
        "icon": "https://library.example/icon.png",
        "report": ["opened", "closed", "clicked"],
        "beacon": "http://127.0.0.1:8080/t/p/abc_123",
    }
    return Push(of.person.browser, payload | changes)


def chat(of: Letter) -> Chat:
    return Chat(of.person.chat_id, f"<b>{of.subject}</b>\n\n{of.html}", "HTML", None, of.keyboard)


def story(of: Letter) -> list[Chat]:
    """The long letter, cut in the middle."""
    text = f"{of.subject}\n\n{of.text}"
    bold = [{"type": "bold", "offset": 0, "length": len(of.subject)}]
    half = len(text) // 2
    return [Chat(of.person.chat_id, text[:half], None, bold), Chat(of.person.chat_id, text[half:])]


def item(of: Letter, **changes: object) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": MESSAGE_ID,
        "subject": of.subject,
        "body": of.text or of.html,
        "format": "text" if of.text else "html",
        "url": None if of.text else "https://library.example/hours",
        "icon": None if of.text else "https://library.example/icon.png",
        "metadata": {"shelf": of.person.shelf},
        "readAt": None,
    }
    return shown | changes


HTML = letter(lambda one: one.channel is Channel.EMAIL and one.html and "Łódź" in one.person.first_name)
ATTACHED = letter(lambda one: one.attachment)
WEBHOOK = letter(lambda one: one.channel is Channel.WEBHOOK)
PUSH = letter(lambda one: one.channel is Channel.PUSH)
CHAT = letter(lambda one: one.channel is Channel.TELEGRAM and one.html)
STORY = letter(lambda one: one.channel is Channel.TELEGRAM and one.text)
ITEM = letter(lambda one: one.channel is Channel.ONSITE and one.text)
HTML_ITEM = letter(lambda one: one.channel is Channel.ONSITE and one.html)


@pytest.mark.parametrize("of", [HTML, ATTACHED], ids=["html", "attachment"])
def test_a_mail_that_is_as_sent_has_no_difference(of: Letter) -> None:
    assert differences([sent(of)], Arrivals(mails=[mail(of)])) == []


def test_a_webhook_that_is_as_sent_has_no_difference() -> None:
    assert differences([sent(WEBHOOK)], Arrivals(hooks=[hook(WEBHOOK)])) == []


@pytest.mark.parametrize(
    ("of", "arrivals"),
    [
        (PUSH, Arrivals(pushes=[push(PUSH)])),
        (CHAT, Arrivals(chats=[chat(CHAT)])),
        (STORY, Arrivals(chats=story(STORY))),
        (ITEM, Arrivals(items=[item(ITEM)])),
        (HTML_ITEM, Arrivals(items=[item(HTML_ITEM)])),
    ],
    ids=["push", "chat", "in parts", "item", "HTML item"],
)
def test_what_is_as_sent_has_no_difference(of: Letter, arrivals: Arrivals) -> None:
    assert differences([sent(of)], arrivals) == []


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
def test_every_difference_of_a_webhook_is_named(arrived: list[Request], named: str) -> None:
    found = differences([sent(WEBHOOK)], Arrivals(hooks=arrived))
    assert len(found) == 1
    assert named in found[0]


@pytest.mark.parametrize(
    ("arrived", "named"),
    [
        ([], "arrived 0 times"),
        ([push(PUSH), push(PUSH)], "arrived 2 times"),
        ([push(PUSH, body="something else")], "payload"),
        ([push(PUSH, extra=1)], "payload"),
        ([push(PUSH, beacon="http://127.0.0.1:8080/elsewhere")], "beacon"),
        ([replace(push(PUSH), path="/push/reader19")], "browser"),
    ],
)
def test_every_difference_of_a_push_is_named(arrived: list[Push], named: str) -> None:
    found = differences([sent(PUSH)], Arrivals(pushes=arrived))
    assert len(found) == 1
    assert named in found[0]


@pytest.mark.parametrize(
    ("of", "arrived", "named"),
    [
        (CHAT, [], "arrived 0 times"),
        (CHAT, [replace(chat(CHAT), chat_id="1")], "arrived 0 times"),
        (CHAT, [replace(chat(CHAT), text="something else")], "text"),
        (CHAT, [replace(chat(CHAT), parse_mode="MarkdownV2")], "parse mode"),
        (CHAT, [replace(chat(CHAT), keyboard=[])], "buttons"),
        (STORY, story(STORY)[::-1], "text"),
        (STORY, story(STORY)[:1], "text"),
        (STORY, [replace(story(STORY)[0], entities=None), story(STORY)[1]], "formatting"),
    ],
)
def test_every_difference_of_a_chat_is_named(of: Letter, arrived: list[Chat], named: str) -> None:
    found = differences([sent(of)], Arrivals(chats=arrived))
    assert any(named in one for one in found)


def test_a_chat_that_is_told_twice_is_no_whole_message() -> None:
    assert differences([sent(CHAT)], Arrivals(chats=[chat(CHAT), chat(CHAT)]))


@pytest.mark.parametrize(
    ("arrived", "named"),
    [
        ([], "arrived 0 times"),
        ([item(HTML_ITEM), item(HTML_ITEM)], "arrived 2 times"),
        ([item(HTML_ITEM, body=f"{HTML_ITEM.html}<script>alert(1)</script>")], "item"),
        ([item(HTML_ITEM, metadata={})], "item"),
    ],
)
def test_every_difference_of_an_item_is_named(arrived: list[dict[str, Any]], named: str) -> None:
    found = differences([sent(HTML_ITEM)], Arrivals(items=arrived))
    assert len(found) == 1
    assert named in found[0]


def test_no_chat_is_sent_two_letters() -> None:
    crowd = demo_story.people()
    letters = demo_story.singles(crowd) + demo_story.batch(crowd)
    chats = Counter(one.person.chat_id for one in letters if one.channel is Channel.TELEGRAM)
    assert set(chats.values()) == {1}
    assert {one.channel for one in letters} == set(Channel)
