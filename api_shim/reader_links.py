"""Who stands behind the link of a message: the reader, and the addresses that the link may decide over.

That is the address that the message went to. Only where this is the contact's own to this day are the contact's other
addresses its reader's too: whoever has a former address, or one that a message named instead, decides for that alone.
"""

from collections.abc import Mapping

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim import addresses, networks
from api_shim.operations import Call
from models.secrets import Keyring
from models.store import contacts, opt_outs
from models.store.opt_outs import Offer
from models.tokens import Purpose, Ref
from models.vocabulary import Channel


class Reader(msgspec.Struct, frozen=True):
    """A reader: the message's ``offer``, and each address as its digest and, where it is known, its text.

    ``is_contact``: the reader is the contact that the message was for.
    """

    ref: Ref
    offer: Offer
    digests: Mapping[Channel, bytes]
    addresses: Mapping[Channel, str | None]
    is_contact: bool


async def ref_of(call: Call, token: str) -> Ref | None:
    """The message and run whose link it is; None where it is none of ours for this purpose."""
    return (await call.services.keyring()).tokens.read(Purpose.OPT_OUT, token)


async def acting_ref_of(call: Call, token: str, *, changes: bool = False) -> Ref | None:
    """As ``ref_of``, to act upon it; raises Problem (429). ``changes``: preferences, which no mail program does."""
    ref = await ref_of(call, token)
    limits = call.services.reader_limits
    if ref is None:
        limits.unproved(networks.of_client(call.request))
        return None
    if changes:
        limits.changed(networks.of_client(call.request))
    limits.proved(ref.message_id)
    return ref


async def reader_of(connection: AsyncConnection, ref: Ref, keyring: Keyring) -> Reader | None:
    """The reader; None where the message is kept no longer."""
    offer = await opt_outs.find(connection, ref.message_id)
    if offer is None:
        return None
    contact = await contacts.get(connection, offer.workspace_id, offer.contact_id)
    if contact is not None and contact.erased_at is None:
        own = dict(addresses.digests(contact, keyring))
        if own.get(offer.channel) == offer.address_digest:
            return Reader(ref, offer, own, dict(addresses.of_contact(contact)), is_contact=True)
    digests, texts = {offer.channel: offer.address_digest}, {offer.channel: offer.address}
    return Reader(ref, offer, digests, texts, is_contact=False)
