"""What the demo sends, and what must therefore arrive. Pure: a list of letters and of their intended ends."""

import base64
import itertools
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

from models.vocabulary import Channel, Status

READERS: Final = 20
"""Contacts that only read; two more bounce and unsubscribe."""
_TURNS: Final = 15
"""Of the batch: in each, two mails and one message on every other channel."""
_FIRST_CHAT: Final = 5_000_001
_NOTE: Final = "opening hours: naïve café ☕, κόσμος, 日本語, שלום\n".encode()
_PAGE: Final = "https://library.example/hours"
_PICTURED: Final = {"url": _PAGE, "icon": "https://library.example/icon.png"}
SENDER: Final = "Wireroom Library <library@demo.example>"
PERSON: Final = "operator@demo.example"
"""Who signs in at the console."""
"""The From header of every mail of the demo."""


@dataclass(frozen=True, slots=True)
class Person:
    """A contact of the demo. The address is under ``.example`` (RFC 2606), so that it can be nobody's."""

    external_id: str
    first_name: str
    shelf: str
    chat_id: str
    has_lost_phone: bool = False
    """Whether a second browser of theirs exists no more, which nobody has told us."""

    @property
    def email(self) -> str:
        """The mail address."""
        return f"{self.external_id}@readers.example"

    @property
    def browser(self) -> str:
        """Where the push service takes what is for their browser."""
        return f"/push/{self.external_id}"

    @property
    def lost_browser(self) -> str:
        """The same for the one that exists no more."""
        return f"/push/{self.external_id}-lost"


@dataclass(frozen=True, slots=True)
class Letter:
    """One message: the request's fields, who gets it, what must arrive, and the status it must end in.

    ``keyboard``: the buttons, as the Bot API has them.
    """

    person: Person
    channel: Channel
    request: dict[str, Any]
    ending: Status
    subject: str
    text: str | None = None
    html: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    attachment: bytes | None = None
    keyboard: list[list[dict[str, str]]] | None = None


def people() -> list[Person]:
    """The contacts. One name needs escaping in HTML and an encoding in a header."""
    chats = (str(_FIRST_CHAT + number) for number in itertools.count())
    readers = [
        Person(f"reader{number:02d}", f"Reader {number:02d}", f"{number:02d}-A", next(chats))
        for number in range(READERS)
    ]
    odd = Person("odd-name", 'Reader <№ 20> & "Łódź"', "20-Ω", next(chats), has_lost_phone=True)
    return [
        *readers,
        odd,
        Person("bouncing", "Bouncing Reader", "21-B", next(chats)),
        Person("leaving", "Leaving Reader", "22-C", next(chats)),
    ]


def singles(crowd: list[Person]) -> list[Letter]:
    """The messages sent one by one: every form once, and every end."""
    *readers, odd, bouncing, leaving = crowd
    return [
        _html_mail(readers[0], Status.CLICKED),
        _push(readers[0], Status.CLICKED),
        _html_chat(readers[15]),
        _onsite(readers[0], Status.OPENED),
        _webhook(readers[0]),
        _html_mail(odd, Status.CLICKED),
        _push(odd, Status.SENT),
        _html_chat(odd),
        _html_onsite(odd, Status.CLICKED),
        _webhook(odd),
        _text_mail(readers[1], Status.OPENED),
        _long_chat(readers[16]),
        _html_mail(bouncing, Status.BOUNCED),
        _html_mail(leaving, Status.UNSUBSCRIBED),
        _attached_mail(readers[3], Status.CLICKED),
        _html_onsite(readers[4], Status.DELIVERED),
        _push(readers[5], Status.OPENED),
        _text_mail(readers[5], Status.CLICKED),
    ]


def batch(crowd: list[Person]) -> list[Letter]:
    """The messages sent by one request. No chat gets two: Telegram takes one a second."""
    *readers, _odd, _bouncing, _leaving = crowd
    mails = itertools.cycle((Status.CLICKED, Status.OPENED, Status.CLICKED, Status.DELIVERED))
    pushes = itertools.cycle((Status.CLICKED, Status.SENT, Status.OPENED))
    items = itertools.cycle((Status.OPENED, Status.CLICKED, Status.DELIVERED))
    letters = []
    for turn in range(_TURNS):
        letters += [
            _html_mail(readers[turn], next(mails)),
            _push(readers[(turn + 3) % READERS], next(pushes)),
            _webhook(readers[(turn + 6) % READERS]),
            _html_mail(readers[(turn + 9) % READERS], next(mails)),
            _html_onsite(readers[(turn + 12) % READERS], next(items)),
            _html_chat(readers[turn]),
        ]
    return letters


def _html_mail(person: Person, ending: Status) -> Letter:
    def body(name: str, shelf: str) -> str:
        return (
            f"<p>Hello {name},</p>\n"
            f"<p>your book waits on shelf <b>{shelf}</b>. Naïve café ☕, κόσμος, 日本語, שלום.</p>\n"
            "<p>The library</p>"
        )

    return Letter(
        person,
        Channel.EMAIL,
        {
            "subject": "Shelf {{shelf}}: your book is here, {{firstName}} 📚",
            "body": body("{{firstName}}", "{{shelf}}"),
            "headers": {"X-Library-Branch": "Main Street"},
            "metadata": {"category": "pick-up"},
        },
        ending,
        subject=f"Shelf {person.shelf}: your book is here, {person.first_name} 📚",
        html=body(escape(person.first_name), escape(person.shelf)),
        text=(
            f"Hello {person.first_name},\n\n"
            f"your book waits on shelf {person.shelf}. Naïve café ☕, κόσμος, 日本語, שלום.\n\n"
            "The library"
        ),
        headers={"X-Library-Branch": "Main Street"},
    )


def _text_mail(person: Person, ending: Status) -> Letter:
    # A line of one dot ends a mail in SMTP (RFC 5321, section 4.5.2): it must arrive as a line of one dot.
    body = "Hello {{firstName}},\n.\n..\nyour loan ends on Friday.\n"
    return Letter(
        person,
        Channel.EMAIL,
        {"subject": "Your loan ends on Friday", "body": body, "format": "text", "metadata": {"category": "loan"}},
        ending,
        subject="Your loan ends on Friday",
        text=body.replace("{{firstName}}", person.first_name),
    )


def _attached_mail(person: Person, ending: Status) -> Letter:
    letter = _text_mail(person, ending)
    attached = {"filename": "hours.txt", "contentType": "text/plain", "content": base64.b64encode(_NOTE).decode()}
    return Letter(
        person,
        Channel.EMAIL,
        letter.request | {"subject": "Our hours", "attachments": [attached]},
        ending,
        subject="Our hours",
        text=letter.text,
        attachment=_NOTE,
    )


def _webhook(person: Person) -> Letter:
    return Letter(
        person,
        Channel.WEBHOOK,
        {
            "subject": "shelf.{{shelf}}",
            "body": "{{firstName}} may collect a book ☕",
            "metadata": {"shelf": person.shelf, "copies": 1},
        },
        Status.DELIVERED,
        subject=f"shelf.{person.shelf}",
        text=f"{person.first_name} may collect a book ☕",
    )


def _push(person: Person, ending: Status) -> Letter:
    return Letter(
        person,
        Channel.PUSH,
        {
            "subject": "Shelf {{shelf}}",
            "body": "{{firstName}}, your book is here ☕ 日本語",
            "options": {"urgency": "high", "ttl": 3600, **_PICTURED},
        },
        ending,
        subject=f"Shelf {person.shelf}",
        text=f"{person.first_name}, your book is here ☕ 日本語",
    )


def _html_chat(person: Person) -> Letter:
    body = "Hello <b>{{firstName}}</b>, your book waits on shelf <i>{{shelf}}</i> 📚"
    return Letter(
        person,
        Channel.TELEGRAM,
        {
            "subject": "Shelf {{shelf}}",
            "body": body,
            "format": "html",
            "options": {"buttons": [[{"text": "Renew", "callbackData": "renew"}, {"text": "Hours", "url": _PAGE}]]},
        },
        Status.SENT,
        subject=f"Shelf {person.shelf}",
        html=body.replace("{{firstName}}", escape(person.first_name)).replace("{{shelf}}", escape(person.shelf)),
        keyboard=[[{"text": "Renew", "callback_data": "renew"}, {"text": "Hours", "url": _PAGE}]],
    )


def _long_chat(person: Person) -> Letter:
    """More than one message of Telegram's holds."""
    chapters = [f"Chapter {number}. " + "Nobody knew who had moved the shelf. " * 20 for number in range(1, 11)]
    text = "\n\n".join(chapter.strip() for chapter in chapters)
    return Letter(
        person,
        Channel.TELEGRAM,
        {"subject": "A story in ten chapters", "body": text, "format": "text"},
        Status.SENT,
        subject="A story in ten chapters",
        text=text,
    )


def _onsite(person: Person, ending: Status) -> Letter:
    body = "{{firstName}}: 1 < 2 & <b>this is no markup</b>\n日本語"
    return Letter(
        person,
        Channel.ONSITE,
        {"subject": "Read me, {{firstName}}", "body": body, "format": "text", "metadata": {"shelf": person.shelf}},
        ending,
        subject=f"Read me, {person.first_name}",
        text=body.replace("{{firstName}}", person.first_name),
    )


def _html_onsite(person: Person, ending: Status) -> Letter:
    body = "<p>Hello <b>{{firstName}}</b>, your book waits on shelf {{shelf}}.</p>"
    filled = body.replace("{{firstName}}", escape(person.first_name)).replace("{{shelf}}", person.shelf)
    return Letter(
        person,
        Channel.ONSITE,
        {
            "subject": "Shelf {{shelf}}",
            # A script has no place in an inbox: it must not arrive.
            "body": f"{body}<script>alert(1)</script>",
            "metadata": {"shelf": person.shelf},
            "options": _PICTURED,
        },
        ending,
        subject=f"Shelf {person.shelf}",
        html=filled.replace("&quot;", '"'),  # outside of tags it needs no escape (HTML, section 13.3)
    )
