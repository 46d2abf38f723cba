"""What is sent, the same on both sides: short texts that name their recipient, and nobody written to twice in a run.

The pipeline renders and signs them; the bare loops get them finished, made before the clock by the same code.
"""

import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from channels import standard_webhooks
from channels.contract import Content
from channels.mime import Mail
from channels.rendering import Text
from models import ids, timestamps
from models.ids import Kind
from models.tokens import Links, TokenMaker
from models.vocabulary import Channel

SENDER: Final = "noreply@example.org"
SENDER_NAME: Final = "Wireroom"
SECRET: Final = standard_webhooks.new_secret()

# Services have many events for few endpoints; still more of them than a URL parser's own cache holds.
_PUBLIC_URL: Final = "http://127.0.0.1:54321"
_ENDPOINTS: Final = 1_000

_SUBJECT: Final = "Your order has left, {{firstName}}"
_BODY: Final = """Hello {{firstName}},

the parcel with your order has left our house this morning and is on its way to you. It should arrive within the
next two working days; the driver rings twice and leaves a card if nobody opens. You need not sign for it.

If something is missing or broken, answer this message within two weeks and we shall put it right at once, without
many questions. Keep the box until then, please: the number on its side tells us who packed it and when.

Thank you for buying from us, {{firstName}}. Until next time!
"""


class Recipient(NamedTuple):
    """Somebody to write to."""

    number: int

    @property
    def address(self) -> str:
        """A mail address of nobody (RFC 2606)."""
        return f"reader{self.number}@example.net"

    @property
    def first_name(self) -> str:
        """What the texts call them: of many lengths, as names are."""
        return f"Reader {self.number}"

    def webhook_url(self, port: int) -> str:
        """Their endpoint at the sink, which some others share."""
        return f"http://127.0.0.1:{port}/in/{self.number % _ENDPOINTS}"


class FinishedMail(NamedTuple):
    """A mail that needs nothing but to be sent. ``content``: lines ended by CRLF."""

    recipient: str
    content: bytes


class FinishedHook(NamedTuple):
    """A webhook that needs nothing but to be posted."""

    url: str
    headers: dict[str, str]
    body: bytes


def batches(channel: Channel, contact_ids: Sequence[str], chunk: int) -> Iterator[bytes]:
    """Bodies for ``POST …/messages/batch``, NDJSON, ``chunk`` messages each."""
    lines = (_message(channel, contact_id) for contact_id in contact_ids)
    while part := list(islice(lines, chunk)):
        yield "\n".join(part).encode()


def singles(channel: Channel, contact_ids: Sequence[str], head: str) -> list[bytes]:
    """Requests for ``POST …/messages``, whole; ``head``: their first line and the headers that they share."""
    bodies = [_message(channel, contact_id).encode() for contact_id in contact_ids]
    return [f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


def _message(channel: Channel, contact_id: str) -> str:
    return json.dumps({"contactId": contact_id, "channel": channel.value, "subject": _SUBJECT, "body": _BODY})


def finished_mails(count: int) -> Iterator[FinishedMail]:
    """Mails to ``count`` people, byte for byte as the pipeline would send them."""
    mail = Mail(_content(), sender_name=SENDER_NAME, sender=SENDER, domain=SENDER.partition("@")[2])
    now = datetime.now(UTC)
    tokens = TokenMaker([SECRET.encode()])
    for recipient in map(Recipient, range(count)):
        message_id = ids.new_id()
        content = mail.fill(
            message_id=ids.show(Kind.MESSAGE, message_id),
            run=1,
            recipient=recipient.address,
            variables={"firstName": recipient.first_name},
            date=now,
            opt_out_url=Links(tokens, _PUBLIC_URL, message_id, 1).opt_out(),
        )
        yield FinishedMail(recipient.address, content)


def finished_hooks(count: int, port: int) -> Iterator[FinishedHook]:
    """Webhooks to ``count`` people, with the headers and the body that the pipeline would send."""
    subject, body = Text(_SUBJECT, escape=None), Text(_BODY, escape=None)
    now = time.time()
    for recipient in map(Recipient, range(count)):
        message_id = ids.show(Kind.MESSAGE, ids.new_id())
        variables = {"firstName": recipient.first_name}
        content = msgspec.json.encode(
            {
                "type": "message",
                "timestamp": timestamps.show(int(now * 1000)),
                "data": {
                    "messageId": message_id,
                    "contactId": ids.show(Kind.CONTACT, ids.new_id()),
                    "subject": subject.fill(variables),
                    "body": body.fill(variables),
                    "metadata": {},
                },
            }
        )
        signature = standard_webhooks.sign([SECRET], message_id=message_id, timestamp=int(now), body=content)
        headers = {
            "content-type": "application/json",
            standard_webhooks.ID_HEADER: message_id,
            standard_webhooks.TIMESTAMP_HEADER: str(int(now)),
            standard_webhooks.SIGNATURE_HEADER: signature,
        }
        yield FinishedHook(recipient.webhook_url(port), headers, content)


def _content() -> Content:
    return Content(subject=_SUBJECT, body=_BODY)
