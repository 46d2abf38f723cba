"""That the bodies and headers of hooks in the OpenAPI document are what the adapters read."""

import re
from pathlib import Path
from urllib.parse import urlencode

from api_shim.hook_bodies import BODIES, HEADERS
from channels.bounces.reading import parse
from channels.providers.contract import HookRequest
from channels.providers.mailgun import MailgunProvider
from channels.providers.mandrill import MandrillProvider
from channels.providers.ses import SesProvider
from models.evidence import MailKind
from models.vocabulary import EventType

ADAPTERS = Path(__file__).parents[2] / "channels" / "providers"


def request(media: str, body: str) -> HookRequest:
    return HookRequest(headers={"content-type": media}, body=body.encode())


def test_mandrills_form() -> None:
    media = "application/x-www-form-urlencoded"
    (event,) = MandrillProvider().parse(request(media, urlencode(BODIES[media].example)))
    assert (event.type, event.recipient) == (EventType.ACCEPTED, "ann@example.org")


def test_mailguns_parts() -> None:
    fields = BODIES["multipart/form-data"].example
    parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{fields[name]}\r\n' for name in fields]
    (event,) = MailgunProvider().parse(request("multipart/form-data; boundary=b", "".join([*parts, "--b--"])))
    assert (event.type, event.recipient) == (EventType.DELIVERED, "ann@example.org")


def test_the_message_of_sns() -> None:
    (event,) = SesProvider().parse(request("text/plain", BODIES["text/plain"].example))
    assert (event.type, event.recipient) == (EventType.DELIVERED, "ann@example.org")


def test_the_raw_mail() -> None:
    report = parse(BODIES["message/rfc822"].example.encode())
    assert (report.kind, [each.address for each in report.recipients]) == (MailKind.DSN, ["ann@example.org"])


def test_every_header_that_an_adapter_reads_is_named() -> None:
    read = {name for path in ADAPTERS.glob("*.py") for name in re.findall(r'_HEADER: Final = "(.+)"', path.read_text())}
    assert len(read) > 8
    assert read <= set(HEADERS)
