"""The reader's own links: what a message's unsubscribe link ends with."""

from typing import Any
from uuid import UUID

from models import ids
from models.ids import Kind
from models.secrets import Keyring
from models.tokens import Purpose, Ref
from tests.support.api import Tenant


def token_of(message: dict[str, Any], keyring: Keyring, run: int = 1) -> str:
    """The token of a message's link."""
    return keyring.tokens.make(Purpose.OPT_OUT, Ref(uuid_of(message), run))


def whole_token_of(message: dict[str, Any], keyring: Keyring) -> str:
    """The token of the link to all that the message's reader gets."""
    return keyring.tokens.make(Purpose.PREFERENCES, Ref(uuid_of(message), 1))


def uuid_of(message: dict[str, Any]) -> UUID:
    """The message's id."""
    found = ids.parse(Kind.MESSAGE, message["id"])
    assert found is not None
    return found


async def refused(tenant: Tenant, contact: str, **fields: Any) -> str | None:
    """Why the next message to the contact is refused; None where it is accepted."""
    body = {"contactId": contact, "channel": "EMAIL", "subject": "Next", "body": "Hi"} | fields
    answer = await tenant.call("POST", "/messages", json=body)
    return None if answer.status_code == 200 else str(answer.json()["failureReason"])
