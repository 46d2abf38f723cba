"""Mails as mail servers and mailbox providers write them, each with what it says.

A file holds mails between lines of ``=====``. The first line of each is ``name | kind | recipients``, these separated
by ``;``, each ``address status reply-code reason bounce-type`` with ``-`` for what it does not say. A line that begins
with ``%`` stands for what all such mails have alike.
"""

from pathlib import Path
from typing import Final, NamedTuple

from channels.bounces.report import Report

TOKEN: Final = "b-" + "abcdefghijklmnopqrstuvwxyz234567" + "a" * 20
MESSAGE_ID: Final = "<sent.1@example.org>"

_COPY: Final = f"""Return-Path: <{TOKEN}@bounces.example.org>
Received: from app.example.org (app.example.org [192.0.2.9])
Message-ID: {MESSAGE_ID}
From: Acme <news@example.org>
To: ann@example.com
Subject: Hello

Hello Ann, write to help@example.org."""
_HEAD: Final = _COPY.partition("\n\n")[0]


def _begin(kind: str) -> str:
    return f'MIME-Version: 1.0\nContent-Type: multipart/{kind};\n\tboundary="=_b.1/x"\n\nThis is MIME.\n'


def _part(kind: str, more: str = "") -> str:
    return f"\n--=_b.1/x\nContent-Type: {kind}\n{more}\n"


_MACROS: Final = {
    "%report": _begin("report; report-type=delivery-status"),
    "%utf8report": _begin("report; report-type=delivery-status; charset=utf-8"),
    "%feedback": _begin("report; report-type=feedback-report"),
    "%receipt": _begin("report; report-type=disposition-notification"),
    "%mixed": _begin("mixed"),
    "%forward": _begin("mixed"),
    "%mixedtext": _begin("mixed") + _part("text/plain"),
    "%text": _part("text/plain; charset=utf-8"),
    "%html": _part("text/html; charset=utf-8"),
    "%status": _part("message/delivery-status"),
    "%utf8status": _part("message/global-delivery-status", "Content-Transfer-Encoding: 8bit\n"),
    "%abuse": _part("message/feedback-report"),
    "%disposition": _part("message/disposition-notification"),
    "%inner": _part("message/rfc822"),
    "%original": _part("message/rfc822") + _COPY,
    "%utf8original": _part("message/global") + _COPY,
    "%headers": _part("text/rfc822-headers") + _HEAD,
    "%copy": _COPY,
    "%end": "\n--=_b.1/x--\n",
}


class Case(NamedTuple):
    """A mail and what it says: (address, status, reply code, reason, bounce type) of each recipient."""

    name: str
    raw: bytes
    kind: str
    recipients: tuple[tuple[str, str, str, str, str], ...]


def cases() -> list[Case]:
    """Every mail of the corpus."""
    files = sorted((Path(__file__).parent / "corpus").glob("*.txt"))
    return [_case(text) for file in files for text in file.read_text(encoding="utf-8").split("=====\n")]


def said(report: Report) -> tuple[tuple[str, str, str, str, str], ...]:
    """What was read, in the form of a case."""
    return tuple(
        (
            each.address,
            each.status or "-",
            str(each.reply_code or "-"),
            "-" if each.reason is None else each.reason.value,
            "-" if each.bounce_type is None else each.bounce_type.value,
        )
        for each in report.recipients
    )


def _case(text: str) -> Case:
    first, _, mail = text.partition("\n")
    name, kind, people = (each.strip() for each in first.split("|"))
    lines = [_MACROS.get(line, line.replace("%token", f"{TOKEN}@bounces.example.org")) for line in mail.split("\n")]
    recipients = [tuple(each.split()) for each in people.split(";") if each.strip()]
    return Case(name, "\n".join(lines).encode(), kind, tuple((a, b, c, d, e) for a, b, c, d, e in recipients))
