"""Envelopes: one message to one recipient, as a worker hands it to a channel."""

from collections.abc import Sequence
from typing import Any, Final

from channels.contract import Envelope, Limit
from channels.standard_webhooks import new_secret
from models import ids
from models.tokens import Links, TokenMaker

SECRET: Final = new_secret()
TOKENS: Final = TokenMaker([b"the tests' own key, never another's"])
PUBLIC_URL: Final = "https://wireroom.example.org"


def go_on() -> None:
    """What ``proceed`` is where the worker may send."""


def envelope(address: str, *, variables: Any = None, metadata: Any = None, **fields: Any) -> Envelope:
    """One message to ``address``, of a new id unless told otherwise."""
    uuid = fields.pop("uuid", None) or ids.new_id()
    given: dict[str, Any] = {
        "message_id": ids.show(ids.Kind.MESSAGE, uuid),
        "contact_id": ids.show(ids.Kind.CONTACT, ids.new_id()),
        "run": 1,
        "secrets": (SECRET,),
        "proceed": go_on,
        "links": Links(TOKENS, PUBLIC_URL, uuid, fields.get("run", 1)),
    }
    return Envelope(**(given | fields), uuid=uuid, address=address, variables=variables or {}, metadata=metadata or {})


class Unlimited:
    """A limiter where there is no limit."""

    processes = 1

    async def take(self, limits: Sequence[Limit]) -> float:
        """At once."""
        return 0.0
