"""What a person does to one thing: each asks first, is done as the API does it, and says what came of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from api_shim import problems
from api_shim.console.forms import tried
from api_shim.console.pages import Page, PageCall, Values
from api_shim.problems import Problem
from api_shim.replies import Reply
from models.vocabulary import Scope


class Words(msgspec.Struct, frozen=True):
    """How a command is called, what is asked before it is done, and what is said then.

    ``final``: nobody can take it back.
    """

    label: str
    question: str
    meaning: str
    done: str
    final: bool = False


Act = Callable[[PageCall], Awaitable[Values | Reply | None]]
"""Does a command; may give the values of a page that says what came of it, with its ``template``."""


@dataclass(frozen=True, slots=True)
class Deed:
    """A command: its words, and how it is done. ``ends``: there is no page of the thing any more."""

    words: Words
    act: Act
    ends: bool = False


def done_of(call: PageCall, deeds: Mapping[str, Deed]) -> str | None:
    """What is said of the command that led here; None where none did."""
    deed = deeds.get(call.done)
    return None if deed is None else deed.words.done


@dataclass(frozen=True, slots=True)
class Thing:
    """A kind of thing with a page for each, and what may be done to one.

    ``path``: of its list; ``part``: the name of its id in the path. ``view`` gives the values of ``template``, among
    them ``name`` and ``possible``, the commands that may succeed now. ``scope`` is for looking, ``needs`` for doing.
    """

    path: str
    part: str
    title: str
    template: str
    view: Callable[[PageCall], Awaitable[dict[str, Any]]]
    deeds: Mapping[str, Deed]
    scope: Scope
    needs: Scope
    query: type[msgspec.Struct] | None = None

    def pages(self) -> tuple[Page, ...]:
        """The page of one, the question before a command, and the command."""
        one = f"{self.path}/{{{self.part}}}"
        asked = f"{one}/{{command}}"
        return (
            Page(one, self.template, self._show, scope=self.scope, query=self.query),
            Page(asked, "question.html", self._ask, scope=self.needs),
            Page(asked, self.template, self._obey, scope=self.needs, method="POST"),
        )

    async def _show(self, call: PageCall) -> Values:
        return await self._values(call) | {"done": done_of(call, self.deeds)}

    async def _ask(self, call: PageCall) -> Values:
        words = self._deed(call).words
        values = await self._values(call)
        crumbs = [(f"{call.here}{self.path}", self.title), (values["at"], values["name"])]
        return {"words": words, "crumbs": crumbs, "about": values["name"], "back": values["at"]}

    async def _obey(self, call: PageCall) -> Values | Reply:
        deed = self._deed(call)
        came = await tried(deed.act(call))
        if isinstance(came, Problem):
            return await self._values(call) | {"refused": came.body, "status": came.type.status}
        if came is not None:
            return came
        below = "" if deed.ends else f"/{call.path(self.part)}"
        return call.see_done(f"{call.here}{self.path}{below}", call.path("command"))

    async def _values(self, call: PageCall) -> dict[str, Any]:
        values = await self.view(call)
        possible = values["possible"] if self.needs in call.caller.scopes else ()
        commands = [(name, self.deeds[name].words) for name in possible]
        at = f"{call.here}{self.path}/{call.path(self.part)}"
        return {"at": at, "commands": commands, "done": None, "refused": None, **values}

    def _deed(self, call: PageCall) -> Deed:
        found = self.deeds.get(call.path("command"))
        if found is None:
            raise problems.not_found("page")
        return found
