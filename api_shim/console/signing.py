"""The way in and out: the sign-in page, the choice of a workspace, and signing out."""

import re
from typing import Any, Final

import msgspec

from api_shim import auth_routes, problems
from api_shim.auth_routes import SignInRequest
from api_shim.console.pages import HOME, PageCall, bare, see_other
from api_shim.console.rendering import render
from api_shim.operations import Call, Operation
from api_shim.problems import Problem
from api_shim.replies import Reply
from models import ids
from models.ids import Kind
from models.store import users

_SIGN_IN: Final = f"{HOME}/sign-in"
_SIGN_OUT: Final = f"{HOME}/sign-out"
# What leads on after signing in: an address below the console's own, so that nobody is led elsewhere. Its path has
# neither a dot nor a ``%``: a browser goes up by ``..``, however it is written.
_NEXT: Final = re.compile(r"ws_[\w/-]{1,100}(?:\?[\w./?=&%+:~-]{0,400})?", re.ASCII)


async def home(call: Call) -> Reply:
    """The sign-in page, or the way to the person's workspace; a choice where there are several."""
    call = _as_page(call)
    try:
        session = await call.services.sessions.identify(call.request)
    except Problem as problem:
        if problem.type is not problems.UNAUTHORIZED:
            raise
        return _sign_in_page(call)
    async with call.services.database.read() as connection:
        memberships = await users.workspaces_of(connection, session.user_id)
    choices = [{"id": ids.show(Kind.WORKSPACE, each.id), "name": each.name, "role": each.role} for each in memberships]
    if len(choices) == 1:
        return see_other(f"{call.root}/{choices[0]['id']}")
    values = {"workspaces": choices, "person": session.email, "csrf": session.csrf_token}
    return render("workspaces.html", bare(call.request, call.root) | values)


async def sign_in(call: Call) -> Reply:
    """Sign in as the API does, and go on."""
    call = _as_page(call)
    try:
        given = {name: call.form.get(name, "") for name in ("email", "password")}
        reply = await auth_routes.sign_in(call, msgspec.convert(given, SignInRequest))
    except msgspec.ValidationError:
        return _sign_in_page(call, Problem(problems.SIGN_IN_REFUSED))
    except Problem as problem:
        return _sign_in_page(call, problem)
    return see_other(f"{call.root}/{_next(call)}".rstrip("/"), *reply.cookies)


async def sign_out(call: Call) -> Reply:
    """Sign out as the API does."""
    reply = await auth_routes.sign_out(call)
    page = _as_page(call)
    return page.told(see_other(page.root, *reply.cookies))


def _as_page(call: Call) -> PageCall:
    if not isinstance(call, PageCall):
        raise TypeError("pages are shown by PageEndpoint")
    return call


def _next(call: PageCall) -> str:
    given = call.form.get("next") or call.request.query_params.get("next", "")
    return given if _NEXT.fullmatch(given) else ""


def _sign_in_page(call: PageCall, problem: Problem | None = None) -> Reply:
    values: dict[str, Any] = {"next": _next(call), "email": call.form.get("email", ""), "problem": None}
    values["kept"] = call.services.sessions.cookies.kept
    if problem is None:
        return render("sign_in.html", bare(call.request, call.root) | values)
    wait = problem.headers.get("Retry-After")
    values |= {"problem": problem.body, "wait_ms": None if wait is None else int(wait) * 1000}
    reply = render("sign_in.html", bare(call.request, call.root) | values, problem.type.status)
    if wait is not None:
        reply.headers["Retry-After"] = wait
    return reply


def _operation(method: str, path: str, handler: Any, *, needs_session: bool = False) -> Operation:
    return Operation(method, path, handler, summary=path, tag="Console", scope=None, needs_session=needs_session)


OPERATIONS: Final = (
    _operation("GET", HOME, home),
    _operation("GET", f"{HOME}/", home),
    _operation("POST", _SIGN_IN, sign_in),
    _operation("POST", _SIGN_OUT, sign_out, needs_session=True),
)
