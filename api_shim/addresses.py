"""The form in which an address is kept and digested, whether its channel is configured or not."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Final

from channels import addresses, guard
from channels.telegram_address import check_chat
from models import ids
from models.secrets import Keyring
from models.store.contacts import ContactRow
from models.store.suppressions import Address
from models.vocabulary import Channel


def _contact(address: str) -> str:
    """Where the contact itself is the address: its id, as an admission digests it."""
    contact_id = ids.parse(ids.Kind.CONTACT, address)
    if contact_id is None:
        raise ValueError("on this channel the address is the contact's id")
    return str(contact_id)


_CHECKS: Final[Mapping[Channel, Callable[[str], str]]] = {
    Channel.EMAIL: addresses.check_address,
    Channel.WEBHOOK: lambda address: str(guard.parse_url(address)),
    Channel.TELEGRAM: check_chat,
    Channel.PUSH: _contact,
    Channel.ONSITE: _contact,
}


def normal(channel: Channel, address: str) -> str:
    """The address in its normal form; raises ValueError with a reason that does not repeat it."""
    return _CHECKS[channel](address)


def of_contact(contact: ContactRow) -> dict[Channel, str]:
    """Where a contact is reached; on PUSH and ONSITE by its own id, whether it has a browser or not."""
    own_id = ids.show(ids.Kind.CONTACT, contact.id)
    found = {
        Channel.EMAIL: contact.email,
        Channel.PUSH: own_id,
        Channel.TELEGRAM: contact.telegram_chat_id,
        Channel.ONSITE: own_id,
        Channel.WEBHOOK: contact.webhook_url,
    }
    return {channel: address for channel, address in found.items() if address is not None}


def digests(contact: ContactRow, keyring: Keyring) -> list[Address]:
    """The digests of all these addresses, but for any that could not be written to."""
    found: list[Address] = []
    for channel, address in of_contact(contact).items():
        with contextlib.suppress(ValueError):
            found.append((channel, keyring.address_digest(channel.value, normal(channel, address))))
    return found
