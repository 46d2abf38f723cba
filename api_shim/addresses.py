"""The form in which an address is kept and digested, whether its channel is configured or not."""

from collections.abc import Callable, Mapping
from typing import Final

from channels import addresses, guard
from models import ids
from models.vocabulary import Channel


def _contact(address: str) -> str:
    """Where the contact itself is the address: its id, as an admission digests it."""
    contact_id = ids.parse(ids.Kind.CONTACT, address)
    if contact_id is None:
        raise ValueError("on this channel the address is the contact's id")
    return str(contact_id)


def _chat(address: str) -> str:
    chat = address.strip()
    if not chat.isprintable() or not chat:
        raise ValueError("no Telegram chat id")
    return chat


_CHECKS: Final[Mapping[Channel, Callable[[str], str]]] = {
    Channel.EMAIL: addresses.check_address,
    Channel.WEBHOOK: lambda address: str(guard.parse_url(address)),
    Channel.TELEGRAM: _chat,
    Channel.PUSH: _contact,
    Channel.ONSITE: _contact,
}


def normal(channel: Channel, address: str) -> str:
    """The address in its normal form; raises ValueError with a reason that does not repeat it."""
    return _CHECKS[channel](address)
