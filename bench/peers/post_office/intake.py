"""The intake: ``send_many`` for every 500 mails."""

import email
import json
import sys
from pathlib import Path

import django
from django.conf import settings

django.setup()

from post_office import mail  # noqa: E402 - its models need what setup() has loaded
from post_office.models import Email  # noqa: E402

AT_ONCE = 500
# Django makes these itself.
OF_DJANGO = {"from", "to", "subject", "date", "message-id", "mime-version", "content-type", "content-transfer-encoding"}


def read(line):
    """A finished mail, as the arguments that make the same one here."""
    given = json.loads(line)
    parsed = email.message_from_string(given["content"])
    return {
        "sender": settings.PEER_SENDER,
        "recipients": [given["recipient"]],
        "subject": parsed["Subject"],
        "message": parsed.get_payload(decode=True).decode(),
        "headers": {name: value for name, value in parsed.items() if name.lower() not in OF_DJANGO},
        "priority": "medium",
    }


def main():
    """Be ready, begin when told so, and stay until the bench has read what it took."""
    messages = [read(line) for line in Path(settings.PEER_MESSAGES).read_text().splitlines()]
    Email.objects.all().delete()
    print("ready", flush=True)
    sys.stdin.readline()
    for start in range(0, len(messages), AT_ONCE):
        mail.send_many(messages[start : start + AT_ONCE])
    sys.stdin.readline()


if __name__ == "__main__":
    main()
