"""One message: what happened to it and when, what holds it, and what a person may do about it."""

from typing import Final

import msgspec

from api_shim import problems
from api_shim.console.messages import name_of
from api_shim.console.pages import Page, PageCall, Values
from api_shim.console.questions import Words
from api_shim.replies import Reply
from api_shim.workspaces import commands, messages
from api_shim.workspaces.types import MessageDetailView
from models import ids
from models.errors import Conflict, Refused
from models.ids import Kind
from models.person_commands import Command, permitted
from models.vocabulary import Outcome, Scope
from models.why import FOR_GOOD, Situation

_ONE: Final = "/messages/{messageId}"
_ASKED: Final = f"{_ONE}/{{command}}"


WORDS: Final = {
    Command.RELEASE: Words(
        "Release the message",
        "Send this message again?",
        "Nobody knows whether its last attempt arrived. Released, it is sent again, and whoever got it gets it twice.",
        "It was released, to be sent again.",
    ),
    Command.FAIL: Words(
        "Give the message up",
        "Give this message up?",
        "It is then FAILED and not sent again, unless somebody asks for a retry.",
        "It was given up.",
    ),
    Command.RETRY: Words(
        "Retry the message",
        "Send this message again?",
        "It begins a new run, as if it were new: its times start over, and what happened so far stays in its history.",
        "It was asked to be sent again, as a new run.",
    ),
    Command.CANCEL: Words(
        "Cancel the message",
        "Cancel this message?",
        "It is called back before it is sent, and is then FAILED. A retry can still send it.",
        "It was called back.",
    ),
}


class Step(msgspec.Struct, frozen=True):
    """Something on a message's way. ``at`` is as the API shows it; ``mark``: the word that colours it."""

    at: str
    title: str
    mark: str
    by: str
    details: tuple[str, ...] = ()
    machine: bool = False


async def view(call: PageCall) -> Values:
    """The message as it stands."""
    return await values_of(call) | {"done": WORDS[Command(call.done)].done if call.done in WORDS else None}


async def values_of(call: PageCall) -> dict[str, object]:
    """What the page of the message shows."""
    message = await messages.detail(call)
    it = await commands.situation_of(call)
    return {
        "message": message,
        "contact": name_of(message.contact),
        "why": commands.why_view(call, it),
        "steps": steps_of(message),
        "at": f"{call.here}/messages/{message.id}",
        "commands": [(command, WORDS[command]) for command in possible(call, it)],
        "done": None,
        "refused": None,
    }


def possible(call: PageCall, it: Situation) -> list[Command]:
    """What the person may do with the message, and may succeed with."""
    if Scope.MESSAGES_WRITE not in call.caller.scopes:
        return []
    never = {Command.RETRY} if it.failure_reason in FOR_GOOD else set[Command]()
    return [command for command in permitted(it.state, it.status) if command not in never]


async def ask(call: PageCall) -> Values:
    """The question before a command is done."""
    command = _command(call)
    message = await messages.detail(call)
    about, back = message.subject or "(no subject)", f"{call.here}/messages/{message.id}"
    crumbs = [(f"{call.here}/messages", "Messages"), (back, about)]
    return {"message": message, "words": WORDS[command], "crumbs": crumbs, "about": about, "back": back}


async def obey(call: PageCall) -> Values | Reply:
    """Do a command as the API does, and show what came of it."""
    command = _command(call)
    try:
        await commands.HANDLERS[command](call)
    except (Conflict, Refused) as error:
        problem = problems.problem_of(error)
        return await values_of(call) | {"refused": problem.body, "status": problem.type.status}
    shown = ids.show(Kind.MESSAGE, call.path_id("messageId", Kind.MESSAGE, "message"))
    return call.see_done(f"{call.here}/messages/{shown}", command)


def _command(call: PageCall) -> Command:
    try:
        return Command(call.path("command"))
    except ValueError:
        raise problems.not_found("page") from None


def steps_of(message: MessageDetailView) -> list[Step]:
    """All that happened to the message and every attempt, in the order of their times."""
    happened = [
        Step(
            at=event.at,
            title=event.type,
            mark=event.status or "",
            by="Wireroom" if event.provider == "wireroom" else event.provider,
            details=tuple(
                detail
                for detail in (event.bounce_type and f"{event.bounce_type} bounce", event.provider_event, event.reason)
                if detail
            ),
            machine=event.machine,
        )
        for event in message.events
    ]
    attempts = [
        Step(
            at=attempt.ended_at,
            title=f"attempt {attempt.number}: {attempt.outcome}",
            mark=_MARKS[attempt.outcome],
            by="Wireroom",
            details=tuple(
                detail
                for detail in (
                    f"began {attempt.started_at[11:23]}",
                    ": ".join(part for part in (attempt.code, attempt.detail) if part),
                    attempt.settled_at and f"proved to have arrived at {attempt.settled_at[11:19]}",
                )
                if detail
            ),
        )
        for attempt in message.attempts
    ]
    return sorted([*happened, *attempts], key=lambda step: step.at)


_MARKS: Final = {
    Outcome.ACCEPTED: "SENT",
    Outcome.TRANSIENT: "QUEUED",
    Outcome.PERMANENT: "FAILED",
    Outcome.UNKNOWN: "SENDING",
    Outcome.AMBIGUOUS: "SENDING",
}

PAGES: Final = (
    Page(_ONE, "message.html", view),
    Page(_ASKED, "command.html", ask, scope=Scope.MESSAGES_WRITE),
    Page(_ASKED, "message.html", obey, scope=Scope.MESSAGES_WRITE, method="POST"),
)
