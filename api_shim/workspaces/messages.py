"""Messages in the "workspace" dialect: sending them, one or many, and reading them back."""

import asyncio
from collections.abc import Sequence
from typing import Final

from api_shim import problems, waiting
from api_shim.decoding import decode
from api_shim.intake import Accepted
from api_shim.operations import BODY_LIMIT, Call, Reply
from api_shim.problems import Problem
from api_shim.traces import Creations
from api_shim.workspaces.batches import split
from api_shim.workspaces.command_types import MessageProblemBody
from api_shim.workspaces.drafts import draft_in_batch, draft_of, idempotency_key, key_in_batch
from api_shim.workspaces.paging import Pagination
from api_shim.workspaces.types import (
    BatchItem,
    BatchMessageRequest,
    BatchReply,
    MessageDetailView,
    MessageList,
    MessageQuery,
    MessageRequest,
    MessageView,
)
from api_shim.workspaces.views import (
    attempt_views,
    campaign_view,
    contact_view,
    event_views,
    journey_view,
    message_fields,
    message_view,
    template_view,
)
from models import ids
from models.admission import Draft
from models.errors import NotFound, WireroomError
from models.faults import reason_of
from models.ids import Kind
from models.store import campaigns, contacts, journeys, message_views, templates
from models.store.message_views import MessageFilter
from models.vocabulary import FailureReason

BATCH_BYTES: Final = 16 << 20
_REPLAYED: Final = {"Idempotent-Replayed": "true"}
# How many items of a batch, and how many bytes of them, are worked on before other requests get their turn.
_AT_ONCE: Final = 100
_BYTES_AT_ONCE: Final = 1 << 16


async def send(call: Call, request: MessageRequest) -> Reply:
    """Accept one message."""
    key = idempotency_key(call.request.headers.get("idempotency-key"))
    draft = draft_of(request, call.caller, key)
    intake = await call.services.intake()
    try:
        with (
            call.services.keys_in_flight.hold(call.workspace_id, key),
            call.services.traces.creating(call.traceparent, alone=True) as creation,
        ):
            accepted = await intake.submit(creation.begin(draft))
            creation.end(draft, accepted)
    except NotFound:
        raise problems.not_found("contact") from None
    headers = _REPLAYED if accepted.replayed else {}
    seconds = waiting.asked(call.request.headers.getlist("prefer"))
    row = None if seconds is None else await call.services.waiters.outcome(accepted.message, seconds, call.request)
    if row is None:
        return Reply(message_view(accepted.message, accepted.warnings), headers=headers)
    headers = headers | {"Preference-Applied": f"wait={seconds}"}
    view = message_view(row, accepted.warnings)
    reason = reason_of(row.status, row.failure_reason)
    if reason is not None:
        return _undelivered(reason, view, headers)
    return Reply(view, headers=headers)


def _undelivered(reason: FailureReason, view: MessageView, headers: dict[str, str]) -> Reply:
    """The problem that says how a message ended which somebody waited for: it is stored."""
    kind = problems.REFUSALS[reason]
    body = MessageProblemBody(type=kind.uri, title=kind.title, status=kind.status, failure_reason=reason, message=view)
    return Reply(body, kind.status, headers, problems.PROBLEM_JSON)


async def send_batch(call: Call) -> Reply:
    """Accept many messages, each for itself, in order."""
    key = idempotency_key(call.request.headers.get("idempotency-key"))
    items = split(await call.body(BATCH_BYTES), call.request.headers.get("content-type", ""))
    with call.services.traces.creating(call.traceparent, alone=False) as creations:
        drafts = await _drafts(call, creations, items, key)
        good = [draft for draft in drafts if isinstance(draft, Draft)]
        intake = await call.services.intake()
        # A key of a single message holds no space: the two never meet.
        with call.services.keys_in_flight.hold(call.workspace_id, None if key is None else f"batch {key}"):
            results = iter(await intake.submit_many(good))
        entries: list[BatchItem] = []
        replayed = bool(good)
        for position, draft in enumerate(drafts):
            if isinstance(draft, Problem):
                replayed = False
                entries.append(_entry(draft))
            else:
                result = next(results)
                creations.end(draft, result)
                replayed = replayed and isinstance(result, Accepted) and result.replayed
                entries.append(_entry(result))
            if position % _AT_ONCE == 0:
                await asyncio.sleep(0)
    return Reply(BatchReply(data=entries), headers=_REPLAYED if replayed else {})


async def _drafts(call: Call, creations: Creations, items: Sequence[bytes], key: str | None) -> list[Draft | Problem]:
    """What each item of a batch asks for, or why it cannot be read."""
    drafts: list[Draft | Problem] = []
    size = 0
    for position, item in enumerate(items):
        draft = _try_draft(call, item, None if key is None else key_in_batch(key, position))
        drafts.append(creations.begin(draft) if isinstance(draft, Draft) else draft)
        size += len(item)
        if position % _AT_ONCE == 0 or size > _BYTES_AT_ONCE:
            size = 0
            await asyncio.sleep(0)
    return drafts


def _try_draft(call: Call, item: bytes, key: str | None) -> Draft | Problem:
    if len(item) > BODY_LIMIT:
        return Problem(problems.TOO_LARGE, f"At most {BODY_LIMIT:,} bytes.")
    try:
        return draft_in_batch(decode(item, BatchMessageRequest), call.caller, key)
    except Problem as problem:
        return problem
    except WireroomError as error:
        return problems.problem_of(error)


def _entry(result: Accepted | WireroomError | Problem) -> BatchItem:
    if isinstance(result, Accepted):
        return BatchItem(status=200, message=message_view(result.message, result.warnings))
    if isinstance(result, NotFound):
        result = problems.not_found("contact")
    problem = problems.problem_of(result) if isinstance(result, WireroomError) else result
    return BatchItem(status=problem.type.status, problem=problem.body)


async def list_all(call: Call, query: MessageQuery) -> Reply:
    """A page of messages, the newest first."""
    contact_id = None if query.contact_id is None else ids.parse(Kind.CONTACT, query.contact_id)
    campaign_id = None if query.campaign_id is None else ids.parse(Kind.CAMPAIGN, query.campaign_id)
    if (contact_id is None) != (query.contact_id is None) or (campaign_id is None) != (query.campaign_id is None):
        return Reply(MessageList(data=[], pagination=Pagination.of(query, 0)))
    wanted = MessageFilter(
        channel=query.channel,
        status=query.status,
        contact_id=contact_id,
        campaign_id=campaign_id,
        held=query.held,
        fault=query.fault,
    )
    async with call.services.database.read() as connection:
        total = await message_views.count(connection, call.workspace_id, wanted)
        rows = await message_views.list_page(
            connection, call.workspace_id, wanted, limit=query.limit, offset=query.offset
        )
    return Reply(MessageList(data=[message_view(row) for row in rows], pagination=Pagination.of(query, total)))


async def get(call: Call) -> Reply:
    """One message, with everything that belongs to it."""
    return Reply(await detail(call))


async def detail(call: Call) -> MessageDetailView:
    """The message of the path, with everything that belongs to it; raises Problem (404)."""
    message_id = call.path_id("messageId", Kind.MESSAGE, "message")
    own = call.workspace_id
    async with call.services.database.read() as connection:
        row = await message_views.get(connection, own, message_id)
        if row is None:
            raise problems.not_found("message")
        contact = await contacts.get(connection, own, row.contact_id)
        template = None if row.template_id is None else await templates.get(connection, own, row.template_id)
        campaign = None if row.campaign_id is None else await campaigns.get_campaign(connection, own, row.campaign_id)
        journey = None if row.journey_id is None else await journeys.get(connection, own, row.journey_id)
        reported = await message_views.events_of(connection, own, message_id)
        attempts = await message_views.attempts_of(connection, own, message_id)
    return MessageDetailView(
        **message_fields(row),
        contact=None if contact is None else contact_view(contact),
        template=None if template is None else template_view(template),
        campaign=None if campaign is None else campaign_view(campaign),
        journey=None if journey is None else journey_view(journey),
        events=event_views(row, reported),
        attempts=attempt_views(attempts),
    )
