"""The worker: what ``manage.py send_queued_mail`` does, over and over instead of once a minute by cron."""

import time

import django
from django.conf import settings
from django.core.management import call_command

django.setup()

from post_office.mail import send_queued_mail_until_done  # noqa: E402 - its models need what setup() has loaded

PROCESSES = 2
PAUSE_S = 0.02


def main():
    """Make the tables, say so, and send until stopped."""
    call_command("migrate", verbosity=0)
    print("ready", flush=True)
    while True:
        send_queued_mail_until_done(f"{settings.PEER_MESSAGES}.lock", PROCESSES, log_level=0)
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
