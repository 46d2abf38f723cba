"""The workspace's people: who may sign in, and as what; to let somebody in, and to remove somebody."""

import secrets
from typing import Any, Final

from api_shim.console.forms import answered, refusal, request_of, tried
from api_shim.console.listing import ListQuery, paged, place_of
from api_shim.console.pages import Page, PageCall, Values
from api_shim.console.questions import Deed, Thing, Words, done_of
from api_shim.problems import Problem
from api_shim.workspaces import users as api
from api_shim.workspaces.user_types import UserPatch, UserRequest, UserView
from models import ids
from models.ids import Kind
from models.store import listed
from models.timestamps import show
from models.vocabulary import Role, Scope

_PATH: Final = "/users"
_RANDOM_BYTES: Final = 15
_HAND_OVER: Final = (
    "Hand it over by a way that others cannot read. They sign in with it at this address, and set one of their own."
)


async def view(call: PageCall) -> Values:
    """A page of people, the newest first."""
    query = call.query(ListQuery)
    async with call.services.database.read() as connection:
        page = await listed.of_people(connection, call.workspace_id, place_of(query, Kind.USER))
    return {
        "rows": [(ids.show(Kind.USER, row.id), row.email, row.role, show(row.created_at)) for row in page.rows],
        "own": _own_id(call),
        "done": done_of(call, _DEEDS),
        **paged(page, query, Kind.USER),
    }


def _own_id(call: PageCall) -> str:
    return ids.show(Kind.USER, call.signed_in.user_id)


async def _one(call: PageCall) -> dict[str, Any]:
    user = answered(await api.get(call), UserView)
    other = () if user.id == _own_id(call) else ("member" if user.role is Role.ADMIN else "admin", "password", "remove")
    return {"name": user.email, "possible": other, "user": user, "own": _own_id(call)}


async def form(call: PageCall) -> Values:
    """The form for a person who is to be let in."""
    return _form(call)


def _form(call: PageCall, problem: Problem | None = None) -> dict[str, Any]:
    return {
        "given": call.form,
        "roles": list(Role),
        **refusal(problem),
    }


async def create(call: PageCall) -> Values:
    """Let somebody in, with a password that is shown this once."""
    password = secrets.token_urlsafe(_RANDOM_BYTES)
    made = await tried(_create(call, password))
    if isinstance(made, Problem):
        return _form(call, made)
    return _shown_once(call, "The account was made", made, password) | {"status": 201}


async def _create(call: PageCall, password: str) -> UserView:
    fields = {"email": call.form.get("email", "").strip(), "role": call.form.get("role", ""), "password": password}
    return answered(await api.create(call, request_of(UserRequest, fields)), UserView)


def _shown_once(call: PageCall, title: str, user: UserView, password: str) -> dict[str, Any]:
    return {
        "template": "secret.html",
        "test": False,
        "title": title,
        "about": user.email,
        "label": "Password",
        "secret": password,
        "meaning": _HAND_OVER,
        "back": f"{call.here}{_PATH}",
        "back_label": "All people",
    }


async def _make_admin(call: PageCall) -> None:
    await api.patch(call, call.patching(UserPatch(role=Role.ADMIN)))


async def _make_member(call: PageCall) -> None:
    await api.patch(call, call.patching(UserPatch(role=Role.MEMBER)))


async def _set_password(call: PageCall) -> Values:
    password = secrets.token_urlsafe(_RANDOM_BYTES)
    user = answered(await api.patch(call, call.patching(UserPatch(password=password))), UserView)
    return _shown_once(call, "The password was set", user, password)


async def _remove(call: PageCall) -> None:
    await api.remove(call)


_DEEDS: Final = {
    "admin": Deed(
        Words(
            "Make this person an admin",
            "Make this person an admin?",
            "They may then do everything in the workspace: its keys, its people and its settings too.",
            "They are an admin now.",
        ),
        _make_admin,
    ),
    "member": Deed(
        Words(
            "Make this person a member",
            "Make this person a member?",
            "They may then do the daily work, and change neither campaigns, templates and keys nor who belongs here.",
            "They are a member now.",
        ),
        _make_member,
    ),
    "password": Deed(
        Words(
            "Set a new password",
            "Set a new password for this person?",
            "The former one ends, and so does every session of theirs. The new one is shown once.",
            "The password was set.",
        ),
        _set_password,
    ),
    "remove": Deed(
        Words(
            "Remove this person",
            "Remove this person from the workspace?",
            "They are out at once. Where this was their last workspace, their account goes with it.",
            "They were removed from the workspace.",
            final=True,
        ),
        _remove,
        ends=True,
    ),
}

PAGES: Final = (
    Page(_PATH, "users.html", view, title="People", scope=Scope.ADMIN, query=ListQuery, live_alone=True),
    Page(f"{_PATH}/add", "user_form.html", form, scope=Scope.ADMIN, live_alone=True),
    Page(f"{_PATH}/add", "user_form.html", create, scope=Scope.ADMIN, method="POST", live_alone=True),
    *Thing(
        path=_PATH,
        part="userId",
        title="People",
        template="user.html",
        view=_one,
        deeds=_DEEDS,
        scope=Scope.ADMIN,
        needs=Scope.ADMIN,
    ).pages(),
)
