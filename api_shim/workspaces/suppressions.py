"""Suppressions in the "workspace" dialect: addresses that are not written to."""

import contextlib
from typing import Any

from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim import addresses, problems
from api_shim.audit import changing
from api_shim.decoding import milliseconds
from api_shim.operations import Call, Reply
from api_shim.workspaces.paging import Pagination
from api_shim.workspaces.stored import change_one, fetch_one
from api_shim.workspaces.suppression_types import (
    SuppressionList,
    SuppressionPatch,
    SuppressionQuery,
    SuppressionRequest,
)
from api_shim.workspaces.suppression_views import suppression_view
from models import ids
from models.audit import Action
from models.ids import Kind
from models.store import contacts, suppressions
from models.store.suppressions import Address, NewSuppression, SuppressionFilter
from models.vocabulary import Channel, SuppressionKind


async def create(call: Call, request: SuppressionRequest) -> Reply:
    """Suppress an address; 200 and the one that stands where it is suppressed already, now no shorter than asked."""
    keyring = await call.services.keyring()
    kind = kind_of(request.kind, request.topic)
    expires_at = milliseconds(request.expires_at, "#/expiresAt")
    async with changing(call, Action.SUPPRESSION_ADD) as change:
        address = await _address(change.connection, call, request)
        new = NewSuppression(
            channel=request.channel,
            address_digest=keyring.address_digest(request.channel.value, address),
            kind=kind,
            topic=request.topic or "",
            address=address,
            reason=request.reason.value,
            expires_at=expires_at,
            note=request.note,
        )
        row, is_new = await suppressions.create(change.connection, call.workspace_id, new)
        change.of(Kind.SUPPRESSION, row.id, channel=request.channel.value, kind=kind.value)
    return Reply(suppression_view(row), status=201 if is_new else 200)


def kind_of(kind: SuppressionKind | None, topic: str | None) -> SuppressionKind:
    """What is meant where it is not said; raises Problem (400) for a topic of a dead address."""
    if kind is SuppressionKind.DEAD and topic:
        raise problems.invalid("a dead address has no topic", "#/topic")
    return kind or (SuppressionKind.OPT_OUT if topic else SuppressionKind.DEAD)


async def _address(connection: AsyncConnection, call: Call, request: SuppressionRequest) -> str:
    """The address in its normal form; raises Problem (400, 404)."""
    if (request.address is None) == (request.contact_id is None):
        raise problems.invalid("needs either an address or a contactId", "#/address")
    if request.address is not None:
        pointer, address = "#/address", request.address
    else:
        pointer, address = "#/contactId", await _contacts_own(connection, call, request)
    try:
        return addresses.normal(request.channel, address)
    except ValueError as error:
        raise problems.invalid(str(error), pointer) from None


async def _contacts_own(connection: AsyncConnection, call: Call, request: SuppressionRequest) -> str:
    contact_id = ids.parse(Kind.CONTACT, request.contact_id or "")
    contact = None if contact_id is None else await contacts.get(connection, call.workspace_id, contact_id)
    if contact is None or contact.erased_at is not None:
        raise problems.not_found("contact")
    address = addresses.of_contact(contact).get(request.channel)
    if address is None:
        raise problems.invalid(f"the contact has no address on {request.channel}", "#/contactId")
    return address


async def list_all(call: Call, query: SuppressionQuery) -> Reply:
    """A page of suppressions, the newest first."""
    found_by = SuppressionFilter(
        channel=query.channel,
        kind=query.kind,
        reason=query.reason,
        topic=query.topic,
        addresses=await addresses_of(call, query.channel, query.address),
    )
    async with call.services.database.read() as connection:
        rows, total = await suppressions.page(
            connection,
            call.workspace_id,
            found_by,
            limit=query.limit,
            offset=query.offset,
        )
    data = [suppression_view(row) for row in rows]
    return Reply(SuppressionList(data=data, pagination=Pagination.of(query, total)))


async def addresses_of(call: Call, channel: Channel | None, address: str | None) -> list[Address] | None:
    """What a filter by address means on this channel, or on any; None where there is no such filter."""
    if address is None:
        return None
    keyring = await call.services.keyring()
    found: list[Address] = []
    for each in list(Channel) if channel is None else [channel]:
        with contextlib.suppress(ValueError):
            found.append((each, keyring.address_digest(each.value, addresses.normal(each, address))))
    return found


async def get(call: Call) -> Reply:
    """One suppression."""
    return Reply(suppression_view(await fetch_one(call, Kind.SUPPRESSION, "suppression", suppressions.get)))


async def patch(call: Call, request: SuppressionPatch) -> Reply:
    """Change why, or until when, an address is suppressed."""
    values: dict[str, Any] = {}
    if request.reason is not UNSET:
        values["reason"] = request.reason.value
    if request.note is not UNSET:
        values["note"] = request.note
    if request.expires_at is not UNSET:
        values["expires_at"] = milliseconds(request.expires_at, "#/expiresAt")
    row = await change_one(
        call, Kind.SUPPRESSION, "suppression", Action.SUPPRESSION_CHANGE, suppressions.change, values
    )
    return Reply(suppression_view(row))
