"""Forms: what they send as the API's own requests, and what the API answers to that."""

from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

import msgspec

from api_shim import problems
from api_shim.decoding import decode
from api_shim.problems import Problem
from api_shim.replies import Reply
from models.errors import Conflict, Refused

T = TypeVar("T")


def request_of(wanted: type[T], fields: Mapping[str, Any]) -> T:
    """The request that a form stands for: fields that are left empty are left out. Raises Problem (400)."""
    return decode(msgspec.json.encode({name: value for name, value in fields.items() if value != ""}), wanted)


def answered(reply: Reply, kind: type[T]) -> T:
    """What a handler of the API answers."""
    if not isinstance(reply.body, kind):
        raise TypeError(f"answered no {kind.__name__}")
    return reply.body


async def tried(work: Awaitable[T]) -> T | Problem:
    """What came of it, or the problem to be shown where the form is; what the form cannot mend is raised."""
    try:
        return await work
    except Problem as problem:
        if problem.type in (problems.NOT_FOUND, problems.MISSING_SCOPE):
            raise
        return problem
    except (Conflict, Refused) as error:
        return problems.problem_of(error)


def refusal(problem: Problem | None) -> dict[str, Any]:
    """What a form's page is told of why it was sent in vain, ``refused`` and ``status``; None: it was not."""
    if problem is None:
        return {"refused": None, "status": 200}
    return {"refused": problem.body, "status": problem.type.status}


def end_of(day: str) -> str:
    """The last second (UTC) of the day that a date field holds; the empty string where it holds none."""
    return day and f"{day}T23:59:59Z"
