"""What the demo sends, and what must therefore arrive. Pure: a list of letters and of their intended ends."""

import base64
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

from models.vocabulary import Channel, Status

READERS: Final = 20
"""Contacts that only read; two more bounce and unsubscribe."""
BATCH: Final = 84
_NOTE: Final = "opening hours: naïve café ☕, κόσμος, 日本語, שלום\n".encode()
SENDER: Final = "Wireroom Library <library@demo.example>"
"""The From header of every mail of the demo."""


@dataclass(frozen=True, slots=True)
class Person:
    """A contact of the demo. The address is under ``.example`` (RFC 2606), so that it can be nobody's."""

    external_id: str
    first_name: str
    shelf: str

    @property
    def email(self) -> str:
        """The mail address."""
        return f"{self.external_id}@readers.example"


@dataclass(frozen=True, slots=True)
class Letter:
    """One message: the request's fields, who gets it, what must arrive, and the status it must end in."""

    person: Person
    channel: Channel
    request: dict[str, Any]
    ending: Status
    subject: str
    text: str | None = None
    html: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    attachment: bytes | None = None


def people() -> list[Person]:
    """The contacts. One name needs escaping in HTML and an encoding in a header."""
    readers = [Person(f"reader{number:02d}", f"Reader {number:02d}", f"{number:02d}-A") for number in range(READERS)]
    odd = Person("reader-odd", 'Reader <№ 20> & "Łódź"', "20-Ω")
    return [
        *readers,
        odd,
        Person("bouncing", "Bouncing Reader", "21-B"),
        Person("leaving", "Leaving Reader", "22-C"),
    ]


def singles(crowd: list[Person]) -> list[Letter]:
    """The messages sent one by one: every form once, and every end."""
    *readers, odd, bouncing, leaving = crowd
    return [
        _html_mail(readers[0], Status.CLICKED),
        _html_mail(odd, Status.CLICKED),
        _webhook(readers[0]),
        _text_mail(readers[1], Status.OPENED),
        _html_mail(bouncing, Status.BOUNCED),
        _html_mail(readers[2], Status.CLICKED),
        _html_mail(leaving, Status.UNSUBSCRIBED),
        _webhook(odd),
        _attached_mail(readers[3], Status.CLICKED),
        _html_mail(readers[4], Status.DELIVERED),
        _text_mail(readers[5], Status.CLICKED),
        _webhook(readers[6]),
    ]


def batch(crowd: list[Person]) -> list[Letter]:
    """The messages sent by one request: two mails to each webhook."""
    *readers, _odd, _bouncing, _leaving = crowd
    ends = (Status.CLICKED, Status.OPENED, Status.CLICKED, Status.DELIVERED)
    letters = []
    for number in range(BATCH):
        person = readers[number % len(readers)]
        letters.append(_webhook(person) if number % 3 == 2 else _html_mail(person, ends[number % len(ends)]))
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
