"""What a person may ask of one message as it stands: a pure rule, of which the store's commands are made."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from models.vocabulary import State, Status


class Command(StrEnum):
    """What a person does to one message."""

    RELEASE = "release"
    """Send a held message again: it did not arrive."""
    FAIL = "fail"
    """Give a held message up."""
    RETRY = "retry"
    """Send a message that is FAILED or BOUNCED again, as a new run."""
    CANCEL = "cancel"
    """Call back a message that is QUEUED."""


class Rule(NamedTuple):
    """The states that a command may leave, and the shown statuses, where not any will do. ``said``: in words."""

    states: tuple[State, ...]
    statuses: tuple[Status, ...]
    said: str


RULES: Final[Mapping[Command, Rule]] = {
    Command.RELEASE: Rule((State.HELD,), tuple(Status), "Only a held message can be released"),
    Command.FAIL: Rule((State.HELD,), tuple(Status), "Only a held message can be given up"),
    Command.RETRY: Rule(
        (State.DONE, State.FAILED, State.CANCELLED),
        (Status.FAILED, Status.BOUNCED),
        "Only a FAILED or BOUNCED message can be sent again",
    ),
    Command.CANCEL: Rule((State.QUEUED,), tuple(Status), "Only a QUEUED message can be cancelled"),
}


def permitted(state: State, status: Status) -> list[Command]:
    """The commands that the message's state allows; what else stands against it, only the store knows."""
    return [command for command, rule in RULES.items() if state in rule.states and status in rule.statuses]
