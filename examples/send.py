"""One message, what holds it, and two messages by one request: python send.py CONTACT_ID."""

import os
import sys

from wireroom.client import NewMessage, Refused, Wireroom  # where the file was copied: from client import …

contact = sys.argv[1]
url = os.environ.get("WIREROOM_PUBLIC_URL", "http://127.0.0.1:8080")

with Wireroom(os.environ["WIREROOM_TOKEN"], os.environ["WIREROOM_WORKSPACE"], url) as wireroom:
    order: NewMessage = {"contactId": contact, "channel": "ONSITE", "subject": "It left"}
    order["body"] = "Your order is on its way."
    try:
        sent = wireroom.send(order, key=f"order-7421:{contact}")  # the same key is the same message
    except Refused as error:
        sys.exit(f"refused: {error}")
    print(sent["id"])
    print(wireroom.why(sent["id"])["because"])

    texts = {"7422": "One", "7423": "Two"}
    batch: list[NewMessage] = [
        {"contactId": contact, "channel": "ONSITE", "body": text, "idempotencyKey": f"order-{number}:{contact}"}
        for number, text in texts.items()
    ]
    for item in wireroom.send_batch(batch):
        print(item["message"]["id"] if "message" in item else item["problem"]["title"])

    for message in wireroom.messages(query=f"cu:{contact} m:ONSITE"):
        print(message["id"], message["sent"] or "not sent yet")
