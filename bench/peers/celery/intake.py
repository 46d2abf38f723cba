"""The intake: the rows by one COPY, then a task for each message, all over one connection to the broker."""

import json
import sys
from pathlib import Path

import psycopg
import settings
from tasks import app, post_hook, send_mail

TABLE = """
CREATE TABLE IF NOT EXISTS messages (
    id bigint PRIMARY KEY, recipient text NOT NULL, status text NOT NULL, queued_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz)
"""


def take_in(messages, database, producer):
    """What the clock runs for."""
    with database.cursor().copy("COPY messages (id, recipient, status) FROM STDIN") as copy:
        for each in messages:
            copy.write_row((each["id"], each.get("recipient") or each["url"], "queued"))
    for each in messages:
        if "recipient" in each:
            arguments = (each["id"], each["recipient"], each["content"])
            send_mail.apply_async(arguments, producer=producer)
        else:
            arguments = (each["id"], each["url"], each["headers"], each["content"])
            post_hook.apply_async(arguments, producer=producer)


def main():
    """Be ready, begin when told so, and stay until the bench has read what it took."""
    messages = [json.loads(line) for line in Path(settings.MESSAGES).read_text().splitlines()]
    with psycopg.connect(autocommit=True) as database, app.producer_pool.acquire(block=True) as producer:
        database.execute(TABLE)
        database.execute("TRUNCATE messages")
        producer.connection.ensure_connection()
        print("ready", flush=True)
        sys.stdin.readline()
        take_in(messages, database, producer)
        sys.stdin.readline()


if __name__ == "__main__":
    main()
