"""Who stands behind the link of a message: the reader, and the addresses that the link may decide over.

That is the address that the message went to. Only where this is the contact's own to this day are the contact's other
addresses its reader's too: whoever has a former address, or one that a message named instead, decides for that alone.
Mails are forwarded, so the link to unsubscribe decides for what its own message was about, and for no more.
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


class Pass(msgspec.Struct, frozen=True):
    """What a link opens: its message alone, or all that its reader gets (``is_whole``)."""

    ref: Ref
    is_whole: bool


class Reader(msgspec.Struct, frozen=True):
    """A reader: the message's ``offer``, and each address as its digest and, where it is known, its text.

    ``is_contact``: the reader is the contact that the message was for. ``only``: what alone the link may decide.
    """

    ref: Ref
    offer: Offer
    digests: Mapping[Channel, bytes]
    addresses: Mapping[Channel, str | None]
    is_contact: bool
    only: tuple[Channel, str] | None = None


async def pass_of(call: Call, token: str) -> Pass | None:
    """What the link opens; None where it is none of ours for this purpose."""
    tokens = (await call.services.keyring()).tokens
    for purpose in (Purpose.OPT_OUT, Purpose.PREFERENCES):
        ref = tokens.read(purpose, token)
        if ref is not None:
            return Pass(ref, is_whole=purpose is Purpose.PREFERENCES)
    return None


async def acting_pass_of(call: Call, token: str, *, changes: bool = False) -> Pass | None:
    """As ``pass_of``, to act upon it; raises Problem (429). ``changes``: preferences, which no mail program does."""
    found = await pass_of(call, token)
    limits = call.services.reader_limits
    if found is None:
        limits.unproved(networks.of_client(call.request))
        return None
    if changes:
        limits.changed(networks.of_client(call.request))
    limits.proved(found.ref.message_id)
    return found


async def reader_of(connection: AsyncConnection, shown: Pass, keyring: Keyring) -> Reader | None:
    """The reader; None where the message is kept no longer."""
    ref = shown.ref
    offer = await opt_outs.find(connection, ref.message_id)
    if offer is None:
        return None
    contact = None
    if shown.is_whole:
        contact = await contacts.get(connection, offer.workspace_id, offer.contact_id)
    if contact is not None and contact.erased_at is None:
        own = dict(addresses.digests(contact, keyring))
        if own.get(offer.channel) == offer.address_digest:
            return Reader(ref, offer, own, dict(addresses.of_contact(contact)), is_contact=True)
    digests, texts = {offer.channel: offer.address_digest}, {offer.channel: offer.address}
    only = None if shown.is_whole else (offer.channel, offer.topic)
    return Reader(ref, offer, digests, texts, is_contact=False, only=only)
