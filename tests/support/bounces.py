"""Reports on mails of ours, as mail servers and mailbox providers write them."""

from pathlib import Path
from typing import Any, Final

from models import ids
from models.ids import Kind
from models.secrets import read_secret_keys
from models.tokens import Ref, TokenMaker
from tests.support.scene import storage_settings

DOMAIN: Final = "bounces.example.org"


def return_path(message: Any, run: int = 1) -> str:
    """The address that bounces of an API's message come back to; the secret key is that of every test's house."""
    keys = read_secret_keys(storage_settings(Path("/nonexistent"), "sqlite://", "unix://"))
    message_id = ids.parse(Kind.MESSAGE, message["id"])
    assert message_id is not None
    return f"{TokenMaker(keys).return_path(Ref(message_id, run))}@{DOMAIN}"


def delivery_report(
    to: str, *, action: str = "failed", status: str = "5.1.1", said: str = "550 5.1.1 no user"
) -> bytes:
    """What a mail server writes of ann@example.org."""
    return _report(
        to,
        "delivery-status",
        f"Reporting-MTA: dns; mx.example.net\n\nFinal-Recipient: rfc822; ann@example.org\nAction: {action}\n"
        f"Status: {status}\nDiagnostic-Code: smtp; {said}\n",
    )


def complaint(to: str, kind: str = "abuse") -> bytes:
    """What a mailbox provider writes where the recipient called a mail spam; it names nobody."""
    return _report(to, "feedback-report", f"Feedback-Type: {kind}\nUser-Agent: fbl\nVersion: 1\n")


def auto_reply(to: str) -> bytes:
    """What a person's mailbox answers while they are away."""
    head = f"From: Ann <ann@example.org>\nTo: {to}\nSubject: Out of office\nAuto-Submitted: auto-replied\n"
    return f"{head}\n550 5.1.1 is my room.\n".encode()


def _report(to: str, kind: str, fields: str) -> bytes:
    return (
        f"From: MAILER-DAEMON@mx.example.net\nTo: <{to}>\nSubject: Undelivered Mail Returned to Sender\n"
        f'Content-Type: multipart/report; report-type={kind}; boundary="b"\n\n'
        f"--b\n\nRead on.\n--b\nContent-Type: message/{kind}\n\n{fields}\n--b--\n"
    ).encode()
