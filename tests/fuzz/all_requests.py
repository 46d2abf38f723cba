"""Every request of the tests' own by which somebody reports on a message, aimed at messages that are there.

What an example has of its own (our id, the provider's, its time, its own id) is replaced in its text; nothing else is.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from channels.providers.contract import HookRequest
from models.evidence import Provider
from tests.support import provider_examples as examples
from tests.support import provider_requests as requests
from tests.support.bounces import auto_reply, complaint, delivery_report
from tests.unit.bounces.corpus import TOKEN, cases


class By(Enum):
    """How a report says which message it is about."""

    OWN_ID = "own id"
    PROVIDER_ID = "provider's id"
    BUTTON = "the message that a pressed button is of"
    RETURN_PATH = "return path"
    NOTHING = "no message"


BUTTONS_CHAT: Final = 42


@dataclass(frozen=True)
class Aim:
    """What a report is to be about, and when it comes.

    ``number``: of the report; ``at``: when it happened, ``signed_at``: when it is posted (Unix seconds). ``message``:
    our id as shown; ``provider_id``: the message's name at the provider, digits; ``return_path``: an address of ours;
    ``chat``: one of this report's own; ``url``: the hook's.
    """

    number: int
    at: int
    signed_at: int
    message: str
    provider_id: str
    return_path: str
    url: str

    @property
    def chat(self) -> int:
        """A Telegram chat that no other report tells of."""
        return 1_000 + self.number


Sign = Callable[[str, Aim], HookRequest]


@dataclass(frozen=True)
class Report:
    """An example to be aimed: how it names its message, and how its JSON becomes a request."""

    provider: Provider
    by: By
    example: Any
    sign: Sign

    def request(self, aim: Aim) -> HookRequest:
        """The request; the same for the same aim, but for signatures that are random."""
        return self.sign(self.text(aim), aim)

    def text(self, aim: Aim) -> str:
        """The example alone, as it is signed."""
        if self.by is By.RETURN_PATH:
            return str(self.example).replace(f"{TOKEN}@bounces.example.org", aim.return_path)
        when = datetime.fromtimestamp(aim.at, UTC).isoformat().replace("+00:00", "Z")
        known = {f"{examples.SHOWN}.2@": f"{aim.message}.1@", examples.OURS: f"{aim.message}-1"}
        unknown = {f"{examples.SHOWN}.2@example.com": aim.provider_id, examples.OURS: "none"}
        told = known if self.by is By.OWN_ID else unknown
        told |= {examples.SHOWN: aim.message, str(examples.NOW): str(aim.at), examples.WHEN: when}
        text = json.dumps(self.example)
        for old, new in (told | dict.fromkeys(_PROVIDER_IDS, aim.provider_id) | _own(aim)).items():
            text = text.replace(old, new)
        return text


_PROVIDER_IDS: Final = (
    "14c5d75ce93",
    "883953f4-6105-42a2-a16a-77a8eac79483",
    "0102-ses",
    "56761188-7520",
    "2020@relay",
    "19421777835146490",
    "000443ee14578172be22",
)


def _own(aim: Aim) -> dict[str, str]:
    """What else an example has of its own, and what takes its place."""
    return {
        '"m1"': f'"{aim.provider_id}"',
        "CPgfbmQMTCKtHW6uIWtuVe": f"mailgun-{aim.number}",
        "92356927693813856": f"sparkpost-{aim.number}",
        '"e1"': f'"generic-{aim.number}"',
        '"ID": 42': f'"ID": {aim.number}',
        '"update_id": 7': f'"update_id": {aim.number}',
        '"id": 42': f'"id": {aim.chat}',
    }


def _sendgrid(text: str, aim: Aim) -> HookRequest:
    return requests.sendgrid(f"[{text}]\r\n".encode(), aim.signed_at)


def _mailgun(text: str, aim: Aim) -> HookRequest:
    return requests.mailgun(json.loads(text), aim.at, token=f"token-{aim.number}")


def _mailgun_form(text: str, aim: Aim) -> HookRequest:
    return requests.mailgun_form(json.loads(text), aim.at, f"token-{aim.number}", multipart=aim.number % 2 == 0)


def _ses(text: str, aim: Aim) -> HookRequest:
    return requests.sns(text, aim.at, MessageId=f"sns-{aim.number}")


def _resend(text: str, aim: Aim) -> HookRequest:
    return requests.resend(text.encode(), aim.signed_at, delivery=f"msg_{aim.number}")


def _generic(text: str, aim: Aim) -> HookRequest:
    return requests.generic(f'{{"events":[{text}]}}'.encode(), aim.signed_at, f"d{aim.number}")


def _mandrill(text: str, aim: Aim) -> HookRequest:
    return requests.mandrill(f"[{text}]", url=aim.url)


def _telegram(text: str, _aim: Aim) -> HookRequest:
    return requests.telegram(json.loads(text))


def _one(text: str, _aim: Aim) -> HookRequest:
    return requests.plain(json.loads(text))


def _array(text: str, _aim: Aim) -> HookRequest:
    return requests.plain([json.loads(text)])


def _one_or_array(text: str, aim: Aim) -> HookRequest:
    return _array(text, aim) if aim.number % 2 else _one(text, aim)


def _mail(text: str, _aim: Aim) -> HookRequest:
    return HookRequest(headers={"content-type": "message/rfc822"}, body=text.encode())


_BOTH_WAYS: Final[Sequence[tuple[Provider, examples.Examples, Sign]]] = (
    (Provider.SENDGRID, examples.SENDGRID, _sendgrid),
    (Provider.MAILGUN, examples.MAILGUN, _mailgun),
    (Provider.POSTMARK, examples.POSTMARK, _one),
    (Provider.SES, examples.SES, _ses),
    (Provider.RESEND, examples.RESEND, _resend),
    (Provider.BREVO, examples.BREVO, _one_or_array),
    (Provider.MAILJET, examples.MAILJET, _one_or_array),
    (Provider.SPARKPOST, examples.SPARKPOST, _array),
    (Provider.MANDRILL, examples.MANDRILL, _mandrill),
)


def reports() -> list[Report]:
    """Every one, in an order that is always the same; of each provider's every second by our id."""
    found = [
        Report(provider, (By.OWN_ID, By.PROVIDER_ID)[place % 2], event, sign)
        for provider, known, sign in _BOTH_WAYS
        for place, (event, _) in enumerate(known)
    ]
    for place, (name, fields, _) in enumerate(examples.MAILGUN_FORMS):
        form = {"event": name, "recipient": "ann@example.org", "Message-Id": examples.MESSAGE_ID, **fields}
        by = (By.PROVIDER_ID, By.OWN_ID)[place % 2]
        found.append(Report(Provider.MAILGUN, by, form | {"wireroom": examples.OURS}, _mailgun_form))
    found += [Report(Provider.GENERIC, By.OWN_ID, event, _generic) for event, _ in examples.GENERIC]
    found += [Report(Provider.TELEGRAM, By.NOTHING, update, _telegram) for update, _ in examples.MEMBERSHIPS]
    press = {"id": "q", "data": "yes", "message": {"message_id": "m1", "chat": {"id": BUTTONS_CHAT}}}
    found.append(Report(Provider.TELEGRAM, By.BUTTON, {"update_id": 7, "callback_query": press}, _telegram))
    to = f"{TOKEN}@bounces.example.org"
    mails = [case.raw for case in cases()] + [delivery_report(to), complaint(to), complaint(to, "opt-out")]
    mails += [delivery_report(to, action="delivered", status="2.0.0"), auto_reply(to)]
    return found + [Report(Provider.BOUNCE_MAIL, By.RETURN_PATH, raw.decode(), _mail) for raw in mails]
