"""Suppressions in the "workspace" dialect: addresses that are not written to."""

from api_shim import addresses, problems
from api_shim.decoding import milliseconds
from api_shim.operations import Call, Reply
from api_shim.workspaces.contact_types import SuppressionList, SuppressionQuery, SuppressionRequest
from api_shim.workspaces.paging import Pagination
from api_shim.workspaces.stored import fetch_one, remove_one
from api_shim.workspaces.views import suppression_view
from models.ids import Kind
from models.store import suppressions
from models.store.suppressions import NewSuppression
from models.vocabulary import Channel, SuppressionKind


async def create(call: Call, request: SuppressionRequest) -> Reply:
    """Suppress an address; 200 and the one that stands where it is suppressed already."""
    keyring = await call.services.keyring()
    try:
        address = addresses.normal(request.channel, request.address)
    except ValueError as error:
        raise problems.invalid(str(error), "#/address") from None
    kind = request.kind or (SuppressionKind.OPT_OUT if request.topic else SuppressionKind.DEAD)
    if kind is SuppressionKind.DEAD and request.topic:
        raise problems.invalid("a dead address has no topic", "#/topic")
    new = NewSuppression(
        channel=request.channel,
        address_digest=keyring.address_digest(request.channel.value, address),
        kind=kind,
        topic=request.topic or "",
        address=address,
        reason=request.reason,
        expires_at=milliseconds(request.expires_at, "#/expiresAt"),
    )
    async with call.services.database.write() as connection:
        row, is_new = await suppressions.create(connection, call.workspace_id, new)
    return Reply(suppression_view(row), status=201 if is_new else 200)


async def list_all(call: Call, query: SuppressionQuery) -> Reply:
    """A page of suppressions, the newest first."""
    digests = None
    if query.address is not None:
        keyring = await call.services.keyring()
        channels = list(Channel) if query.channel is None else [query.channel]
        digests = []
        for channel in channels:
            try:
                address = addresses.normal(channel, query.address)
            except ValueError:
                continue
            digests.append(keyring.address_digest(channel.value, address))
    async with call.services.database.read() as connection:
        rows, total = await suppressions.page(
            connection,
            call.workspace_id,
            channel=query.channel,
            address_digests=digests,
            limit=query.limit,
            offset=query.offset,
        )
    data = [suppression_view(row) for row in rows]
    return Reply(SuppressionList(data=data, pagination=Pagination.of(query, total)))


async def get(call: Call) -> Reply:
    """One suppression."""
    return Reply(suppression_view(await fetch_one(call, Kind.SUPPRESSION, "suppression", suppressions.get)))


async def remove(call: Call) -> Reply:
    """Let an address be written to again."""
    await remove_one(call, Kind.SUPPRESSION, "suppression", suppressions.remove)
    return Reply()
