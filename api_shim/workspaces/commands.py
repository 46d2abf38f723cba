"""What a person asks of one message: why it stands where it stands, and to cancel, retry, release or fail it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim import problems
from api_shim.audit import changing
from api_shim.operations import Call, Handler, Operation, Reply
from api_shim.problems import ProblemType
from api_shim.workspaces import messages
from api_shim.workspaces.command_types import LastErrorView, WhyView
from api_shim.workspaces.stored import fetch_one
from api_shim.workspaces.types import MessageDetailView
from models import ids
from models.audit import Action
from models.errors import NotFound
from models.faults import fault_of, shown_reason
from models.ids import Kind
from models.person_commands import Command
from models.store import commands
from models.store.why import situation
from models.timestamps import show, show_optional
from models.vocabulary import Channel, FailureReason, Lane, Scope, State
from models.why import Attempt, Situation, explain

Obeyed = Callable[[AsyncConnection, UUID, UUID], Awaitable[tuple[Channel, Lane] | None]]


async def why(call: Call) -> Reply:
    """What holds the message."""
    return Reply(why_view(call, await situation_of(call)))


async def situation_of(call: Call) -> Situation:
    """Everything that may hold the message of the path; raises Problem (404)."""
    return await fetch_one(call, Kind.MESSAGE, "message", situation)


def why_view(call: Call, it: Situation) -> WhyView:
    """What holds the message of the path."""
    said = explain(it)
    sending = it.state is State.SENDING
    return WhyView(
        id=ids.show(Kind.MESSAGE, call.path_id("messageId", Kind.MESSAGE, "message")),
        status=it.status,
        held=it.state is State.HELD,
        gate=said.gate,
        because=said.because,
        place=said.place,
        next_attempt_at=show_optional(said.next_attempt_at),
        last_error=None if said.last_error is None else _last_error(said.last_error),
        attempts=it.attempts,
        worker=str(it.worker_id) if sending and it.worker_id is not None else None,
        sending_since=show_optional(it.claimed_at) if sending else None,
        failure_reason=shown_reason(it.status, it.failure_reason),
        fault=fault_of(it.status, it.failure_reason),
        expires_at=show_optional(it.expires_at),
    )


def _last_error(attempt: Attempt) -> LastErrorView:
    return LastErrorView(at=show(attempt.ended_at), outcome=attempt.outcome, code=attempt.code, detail=attempt.detail)


def _obeying(action: Action, command: Obeyed) -> Handler:
    """A handler that does ``command``, wakes the lane that got work by it, and shows the message."""

    async def obey(call: Call) -> Reply:
        message_id = call.path_id("messageId", Kind.MESSAGE, "message")
        try:
            async with changing(call, action) as change:
                change.of(Kind.MESSAGE, message_id)
                woken = await command(change.connection, call.workspace_id, message_id)
        except NotFound:
            raise problems.not_found("message") from None
        if woken is not None:
            channel, lane = woken
            call.services.wakeups.poke(channel.value.lower(), lane.value)
        return await messages.get(call)

    return obey


HANDLERS: Final[Mapping[Command, Handler]] = {
    Command.CANCEL: _obeying(Action.MESSAGE_CANCEL, commands.cancel),
    Command.RETRY: _obeying(Action.MESSAGE_RETRY, commands.retry),
    Command.RELEASE: _obeying(Action.MESSAGE_RELEASE, commands.release),
    Command.FAIL: _obeying(Action.MESSAGE_FAIL, commands.fail),
}
"""How each command is done to the message of the path: the same for programs and for the console."""

_ONE: Final = "/api/workspaces/{workspaceId}/messages/{messageId}"
_NOT_AGAIN: Final = tuple(
    problems.REFUSALS[reason]
    for reason in (
        FailureReason.EXPIRED,
        FailureReason.ERASED,
        FailureReason.SUPPRESSED,
        FailureReason.OPTED_OUT,
        FailureReason.CANCELLED,
    )
)


def _operation(command: Command, summary: str, errors: tuple[ProblemType, ...] = ()) -> Operation:
    return Operation(
        "POST",
        f"{_ONE}/{command}",
        HANDLERS[command],
        summary=summary,
        tag="Messages",
        scope=Scope.MESSAGES_WRITE,
        responses={200: MessageDetailView},
        errors=(problems.NOT_FOUND, problems.CONFLICT, *errors),
    )


OPERATIONS: Final = (
    Operation(
        "GET",
        f"{_ONE}/why",
        why,
        summary="Say what holds a message: its gate, its place, its next attempt, its last error",
        tag="Messages",
        scope=Scope.MESSAGES_READ,
        responses={200: WhyView},
        errors=(problems.NOT_FOUND,),
    ),
    _operation(Command.CANCEL, "Call back a message that is QUEUED"),
    _operation(Command.RETRY, "Send a message that is FAILED or BOUNCED again, as a new run", _NOT_AGAIN),
    _operation(Command.RELEASE, "Send a held message again: it did not arrive", _NOT_AGAIN),
    _operation(Command.FAIL, "Give a held message up"),
)
