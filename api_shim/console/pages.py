"""What a page of the console is, and how a request becomes one."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api_shim import problems
from api_shim.console.rendering import render
from api_shim.decoding import read_body
from api_shim.endpoints import Endpoint
from api_shim.operations import Call, Operation
from api_shim.problems import Problem
from api_shim.replies import Reply, write
from api_shim.services import Services
from api_shim.sessions import Cookies
from models import ids
from models.ids import Kind
from models.sandboxes import is_sandbox, live_of, sandbox_of
from models.store import users, workspaces
from models.store.users import Membership
from models.vocabulary import Scope

P = TypeVar("P", bound=msgspec.Struct)
Values = Mapping[str, Any]

HOME: Final = "/console"
BELOW: Final = f"{HOME}/{{workspaceId}}"
_FORM_BYTES: Final = 8192
_MOST_FIELDS: Final = 20
_CSRF_FIELD: Final = "csrf"
_TOLD_WITHIN_S: Final = 60
_THEME_COOKIE: Final = "wireroom_theme"
_THEMES: Final = frozenset({"light", "dark"})


class PageCall(Call):
    """One request for a page. ``form``: what a form sent, its first value of each name."""

    form: Mapping[str, str] = {}

    def patching(self, patch: P) -> P:
        """The change that a command stands for, so that the audit log names its fields as those of a PATCH."""
        self.given, self.changes = patch, True
        return patch

    async def begin(self) -> None:
        """Read the form, which holds the session's CSRF token."""
        if self.request.method != "POST":
            return
        raw = await read_body(self.request, _FORM_BYTES)
        if b"%00" in raw or b"\0" in raw:  # which no database can look up
            raise problems.invalid("holds the character U+0000", "#")
        try:
            fields = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            raise problems.invalid("is no form", "#") from None
        self.form = dict(reversed(fields))
        self.csrf_token = self.form.get(_CSRF_FIELD, "")

    @property
    def root(self) -> str:
        """The console's address, below the path of the public URL."""
        return root_of(self.services)

    @property
    def here(self) -> str:
        """The address of the workspace's start page."""
        return f"{self.root}/{quote(self.path('workspaceId'))}"

    @property
    def done(self) -> str:
        """The command that led to this page, by ``see_done``; the empty string where none did."""
        place, _, command = self.request.cookies.get(self._cookies.done, "").rpartition(":")
        return command if place == _below(self.request.url.path) else ""

    def see_done(self, address: str, command: str) -> Reply:
        """Go there by GET, where it is said once that the command was done.

        A cookie says so and not the address, which anybody can make up and which outlives what it tells of.
        """
        told = f"{_below(address)}:{command}"
        return see_other(address, self._cookies.set(self._cookies.done, told, _TOLD_WITHIN_S))

    def told(self, reply: Reply) -> Reply:
        """An answer after which nothing is left to be said of what was done."""
        return msgspec.structs.replace(reply, cookies=(*reply.cookies, self._cookies.set(self._cookies.done, "", 0)))

    @property
    def _cookies(self) -> Cookies:
        return self.services.sessions.cookies


def _below(path: str) -> str:
    """A page's place in the console, whatever path the public URL has."""
    return path.rpartition(f"{HOME}/")[2]


View = Callable[[PageCall], Awaitable[Values | Reply]]
"""Gives the values of the page's template, or another answer in its place."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a workspace: ``path`` below it, the template and what fills it.

    ``title``: its name in the navigation; None: it is reached from other pages. ``frames``: it shows another of our
    pages in a frame. ``live_alone``: a sandbox has none of its own and leads to its workspace's; without parts in its
    path. Values may name another ``template``, and a ``status``.
    """

    path: str
    template: str
    view: View
    title: str | None = None
    scope: Scope = Scope.MESSAGES_READ
    query: type[msgspec.Struct] | None = None
    method: str = "GET"
    frames: bool = False
    live_alone: bool = False


class Entry(msgspec.Struct, frozen=True):
    """A page in the navigation of those who have the scope."""

    path: str
    title: str
    scope: Scope
    live_alone: bool = False


def root_of(services: Services) -> str:
    """The console's address, below the path of the public URL."""
    return f"{urlsplit(services.settings.public_url).path.rstrip('/')}{HOME}"


def see_other(address: str, *cookies: str) -> Reply:
    """Go there by GET (RFC 9110, section 15.4.4)."""
    return Reply(status=303, headers={"Location": address, "Cache-Control": "no-store"}, cookies=cookies)


def bare(request: Request, root: str) -> dict[str, Any]:
    """What every template wants, also for those who are not signed in."""
    theme = request.cookies.get(_THEME_COOKIE, "")
    return {"root": root, "theme": theme if theme in _THEMES else ""}


async def framed(call: PageCall, navigation: Sequence[Entry]) -> dict[str, Any]:
    """What the templates of pages want besides their own values."""
    own, live = call.workspace_id, live_of(call.workspace_id)
    async with call.services.database.read() as connection:
        memberships = await users.workspaces_of(connection, call.signed_in.user_id)
        has_sandbox = is_sandbox(own) or await workspaces.get(connection, sandbox_of(own)) is not None
    below = call.request.url.path.partition(f"{HOME}/")[2].partition("/")[2]
    return bare(call.request, call.root) | {
        "csrf": call.signed_in.csrf_token,
        "person": call.signed_in.email,
        "here": call.here,
        "section": below.partition("/")[0],
        "navigation": [
            entry
            for entry in navigation
            if entry.scope in call.caller.scopes and not (entry.live_alone and is_sandbox(own))
        ],
        "scopes": call.caller.scopes,
        "workspaces": _choices(memberships, own, sandbox_too=has_sandbox),
        "in_sandbox": is_sandbox(own),
        "live": _address(call, live),
        "sandbox": _address(call, sandbox_of(own)) if has_sandbox else None,
    }


def _choices(memberships: Sequence[Membership], own: UUID, *, sandbox_too: bool) -> list[dict[str, Any]]:
    """A person's workspaces for the menu; behind the one that is shown its sandbox, where there is one."""
    named = [(each.id, each.name) for each in memberships if not is_sandbox(each.id)]
    if sandbox_too:
        place = [id_ for id_, _ in named].index(live_of(own))
        named.insert(place + 1, (sandbox_of(own), f"{named[place][1]}: sandbox"))
    return [{"id": ids.show(Kind.WORKSPACE, id_), "name": name, "current": id_ == own} for id_, name in named]


def _address(call: PageCall, workspace_id: UUID) -> str:
    return f"{call.root}/{ids.show(Kind.WORKSPACE, workspace_id)}"


def operation_of(page: Page, navigation: Sequence[Entry]) -> Operation:
    """The page as an operation, for those who are signed in and belong to the workspace."""

    async def show(call: Call) -> Reply:
        if not isinstance(call, PageCall):
            raise TypeError("pages are shown by PageEndpoint")
        if page.live_alone and is_sandbox(call.workspace_id):
            return see_other(f"{_address(call, live_of(call.workspace_id))}{page.path}")
        values = await page.view(call)
        if isinstance(values, Reply):
            return values
        shown = {**await framed(call, navigation), **values}
        reply = render(values.get("template", page.template), shown, values.get("status", 200), frames=page.frames)
        return call.told(reply) if values.get("done") else reply

    return Operation(
        page.method,
        f"{BELOW}{page.path}",
        show,
        summary=page.title or page.template,
        tag="Console",
        scope=page.scope,
        query=page.query,
        needs_session=True,
    )


class PageEndpoint(Endpoint):
    """Shows pages, and problems as pages; who is not signed in is asked to."""

    def call(self, operation: Operation, request: Request) -> Call:
        """The request as a page's view sees it."""
        return PageCall(operation, self._services, request)

    def refuse(self, operation: Operation, request: Request, problem: Problem) -> Response:
        """The problem as a page, or the way to the sign-in."""
        root = root_of(self._services)
        if problem.type is problems.UNAUTHORIZED:
            query = f"?{request.url.query}" if request.url.query else ""
            wanted = request.url.path.partition(f"{HOME}/")[2] + query if request.method == "GET" else ""
            reply = see_other(f"{root}?next={quote(wanted, safe='')}" if wanted else root)
        else:
            values = bare(request, root) | {"problem": problem.body}
            reply = render("problem.html", values, problem.type.status)
            reply.headers.update({name: text for name, text in problem.headers.items() if name != "WWW-Authenticate"})
        return write(reply, operation.path, operation.status)
