"""Suppressions: which addresses are not written to and why; to add one, and to let one be written to again."""

from typing import Any, Final

from api_shim.console.forms import answered, end_of, refusal, request_of, tried
from api_shim.console.listing import ListQuery, paged, place_of
from api_shim.console.pages import Page, PageCall, Values
from api_shim.console.words import one_of
from api_shim.masking import masked
from api_shim.problems import Problem
from api_shim.replies import Reply
from api_shim.workspaces import releases
from api_shim.workspaces import suppressions as api
from api_shim.workspaces.suppression_types import (
    ReleaseReply,
    ReleaseRequest,
    ReleaseView,
    SuppressionRequest,
    SuppressionView,
)
from api_shim.workspaces.suppression_views import suppression_view
from models.ids import Kind
from models.store import listed
from models.store.suppressions import SuppressionFilter
from models.suppression_reasons import SuppressionReason
from models.vocabulary import Channel, Scope, SuppressionKind

_PATH: Final = "/suppressions"
_ONE: Final = f"{_PATH}/{{suppressionId}}"
_KINDS: Final = {
    SuppressionKind.DEAD: "Everything",
    SuppressionKind.OPT_OUT: "All that is not essential",
}


class SuppressionsQuery(ListQuery):
    """What is looked for, as forms send it: a field that is left empty asks for nothing. ``scope``: what is stopped."""

    channel: str = ""
    reason: str = ""
    scope: str = ""
    address: str = ""


async def view(call: PageCall) -> Values:
    """A page of suppressions, the newest first."""
    query = call.query(SuppressionsQuery)
    channel = one_of(Channel, "channel", query.channel)
    reason = one_of(SuppressionReason, "reason", query.reason)
    wanted = SuppressionFilter(
        channel=channel,
        kind=one_of(SuppressionKind, "scope", query.scope, _KINDS),
        reason=None if reason is None else reason.value,
        addresses=await api.addresses_of(call, channel, query.address.strip() or None),
    )
    async with call.services.database.read() as connection:
        page = await listed.of_suppressions(connection, call.workspace_id, wanted, place_of(query, Kind.SUPPRESSION))
    return {
        "rows": [_shown(suppression_view(row)) for row in page.rows],
        "channels": list(Channel),
        "reasons": list(SuppressionReason),
        "kinds": _KINDS,
        **paged(page, query, Kind.SUPPRESSION),
    }


def _shown(each: SuppressionView) -> dict[str, Any]:
    """What is shown of one."""
    return {"it": each, "address": _in_part(each), "stops": _KINDS[each.kind]}


def _in_part(each: SuppressionView | ReleaseView) -> str:
    """The address in part, as wherever others may look over a shoulder."""
    if each.address is None:
        return "of a person who was erased"
    return masked(each.channel, each.address) or "the contact itself"


async def one(call: PageCall) -> Values:
    """One suppression, and the form that releases it."""
    return await _one(call) | {"done": "It is not written to any more." if call.done == "add" else None}


async def _one(call: PageCall, problem: Problem | None = None) -> dict[str, Any]:
    shown = _shown(answered(await api.get(call), SuppressionView))
    return shown | {
        "given": call.form,
        "done": None,
        "can_resend": Scope.MESSAGES_WRITE in call.caller.scopes,
        **refusal(problem),
    }


async def release(call: PageCall) -> Values:
    """Release a suppression, and say what came of it; asked again, it goes on with what is to be sent again."""
    fields = {name: call.form.get(name, "").strip() for name in ("note", "after")}
    came = await tried(_release(call, fields | {"resend": bool(call.form.get("resend"))}))
    if isinstance(came, Problem):
        return await _one(call, came)
    address = None if came.released is None else _in_part(came.released)
    asked = {"resend": bool(call.form.get("resend")), "more": bool(fields["after"])}
    return {"template": "released.html", "came": came, "address": address, **asked}


async def _release(call: PageCall, fields: dict[str, Any]) -> ReleaseReply:
    return answered(await releases.release(call, request_of(ReleaseRequest, fields)), ReleaseReply)


async def form(call: PageCall) -> Values:
    """The form for an address that is not to be written to."""
    return _form(call)


def _form(call: PageCall, problem: Problem | None = None) -> dict[str, Any]:
    return {
        "given": call.form,
        "channels": list(Channel),
        "kinds": _KINDS,
        **refusal(problem),
    }


async def create(call: PageCall) -> Values | Reply:
    """Suppress an address."""
    made = await tried(_create(call))
    if isinstance(made, Problem):
        return _form(call, made)
    return call.see_done(f"{call.here}{_PATH}/{made.id}", "add")


async def _create(call: PageCall) -> SuppressionView:
    fields = {name: call.form.get(name, "").strip() for name in ("channel", "address", "kind", "topic", "note")}
    request = request_of(SuppressionRequest, fields | {"expiresAt": end_of(call.form.get("expiresAt", ""))})
    return answered(await api.create(call, request), SuppressionView)


PAGES: Final = (
    Page(_PATH, "suppressions.html", view, title="Suppressions", scope=Scope.CONTACTS, query=SuppressionsQuery),
    Page(f"{_PATH}/add", "suppression_form.html", form, scope=Scope.CONTACTS),
    Page(f"{_PATH}/add", "suppression_form.html", create, scope=Scope.CONTACTS, method="POST"),
    Page(_ONE, "suppression.html", one, scope=Scope.CONTACTS),
    Page(_ONE, "suppression.html", release, scope=Scope.CONTACTS, method="POST"),
)
