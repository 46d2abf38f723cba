"""API keys: which there are, what each may do and when it was last used; to make one and to revoke one."""

import time
from typing import Any, Final

import msgspec

from api_shim import problems
from api_shim.console.forms import answered, end_of, refusal, request_of, tried
from api_shim.console.listing import ListQuery, paged, place_of
from api_shim.console.pages import Page, PageCall, Values
from api_shim.console.questions import Deed, Thing, Words
from api_shim.problems import Problem
from api_shim.workspaces import keys as api
from api_shim.workspaces.key_types import KeyRequest, KeyView
from models import ids
from models.ids import Kind
from models.sandboxes import is_sandbox
from models.store import listed
from models.store.keys import KeyRow
from models.timestamps import parse, show_optional
from models.vocabulary import Scope

_PATH: Final = "/keys"
_USUAL: Final = frozenset({Scope.MESSAGES_READ, Scope.MESSAGES_WRITE, Scope.CONTACTS, Scope.HOOKS})
_MEANINGS: Final = {
    Scope.MESSAGES_READ: "Read messages and events",
    Scope.MESSAGES_WRITE: "Send, cancel, retry, release",
    Scope.ESSENTIAL: "Send messages that ignore opt-outs",
    Scope.CONTACTS: "Read and write contacts and suppressions",
    Scope.HOOKS: "Read and write hooks and endpoints",
    Scope.ADMIN: "Everything else of the workspace, people and keys too",
}


class FormQuery(msgspec.Struct):
    """``test``: anything for a test key."""

    test: str = ""


class KeyLine(msgspec.Struct, frozen=True):
    """A key in the list; times as the API shows them. ``state``: ``active``, ``expired`` or ``revoked``.

    ``test``: of the sandbox.
    """

    id: str
    name: str
    hint: str
    scopes: list[Scope]
    state: str
    last_used_at: str | None
    test: bool


def _line(row: KeyRow) -> KeyLine:
    return KeyLine(
        id=ids.show(Kind.KEY, row.id),
        name=row.name,
        hint=row.hint,
        scopes=sorted(row.scopes),
        state=_state(row.expires_at, revoked=row.revoked_at is not None),
        last_used_at=show_optional(row.last_used_at),
        test=is_sandbox(row.workspace_id),
    )


def _state(expires_at: int | None, *, revoked: bool) -> str:
    if revoked:
        return "revoked"
    return "expired" if expires_at is not None and expires_at <= time.time() * 1000 else "active"


async def view(call: PageCall) -> Values:
    """A page of keys, the newest first."""
    query = call.query(ListQuery)
    async with call.services.database.read() as connection:
        page = await listed.of_keys(connection, call.workspace_id, place_of(query, Kind.KEY))
    return {"rows": [_line(row) for row in page.rows], **paged(page, query, Kind.KEY)}


async def _one(call: PageCall) -> dict[str, Any]:
    key = answered(await api.get(call), KeyView)
    expires_at = None if key.expires_at is None else parse(key.expires_at)
    return {
        "name": key.name,
        "possible": () if key.revoked_at is not None else ("revoke",),
        "key": key,
        "state_now": _state(expires_at, revoked=key.revoked_at is not None),
        "meanings": _MEANINGS,
    }


async def form(call: PageCall) -> Values:
    """The form for a new key."""
    return _form(call) | {"test": bool(call.query(FormQuery).test)}


def _form(call: PageCall, problem: Problem | None = None) -> dict[str, Any]:
    chosen = {scope for scope in Scope if call.form.get(scope)} if problem else _USUAL
    return {
        "scopes_offered": [
            (scope, _MEANINGS[scope], scope in chosen) for scope in Scope if scope in call.caller.scopes
        ],
        "given": call.form,
        "test": bool(call.form.get("test")),
        **refusal(problem),
    }


async def create(call: PageCall) -> Values:
    """Make a key, and show its token this once."""
    made = await tried(_create(call))
    if isinstance(made, Problem):
        return _form(call, made)
    return {
        "template": "secret.html",
        "test": made.test,
        "status": 201,
        "title": "The key was made",
        "about": made.name,
        "label": "Token",
        "secret": made.token,
        "meaning": "Keep it where your program finds it. It is not kept here: whoever loses it makes another key.",
        "back": f"{call.here}{_PATH}",
        "back_label": "All keys",
    }


async def _create(call: PageCall) -> KeyView:
    if not any(call.form.get(scope) for scope in Scope):
        raise problems.invalid("needs at least one tick", "#/scopes")
    fields = {
        "name": call.form.get("name", "").strip(),
        "scopes": [scope for scope in Scope if call.form.get(scope)],
        "test": bool(call.form.get("test")),
        "expiresAt": end_of(call.form.get("expiresAt", "")),
    }
    return answered(await api.create(call, request_of(KeyRequest, fields)), KeyView)


async def _revoke(call: PageCall) -> None:
    await api.revoke(call)


_DEEDS: Final = {
    "revoke": Deed(
        Words(
            "Revoke the key",
            "Revoke this key for good?",
            "Within a second nothing is done for it any more. This cannot be taken back.",
            "It was revoked.",
            final=True,
        ),
        _revoke,
    )
}

PAGES: Final = (
    Page(_PATH, "keys.html", view, title="Keys", scope=Scope.ADMIN, query=ListQuery),
    Page(f"{_PATH}/add", "key_form.html", form, scope=Scope.ADMIN, query=FormQuery),
    Page(f"{_PATH}/add", "key_form.html", create, scope=Scope.ADMIN, method="POST"),
    *Thing(
        path=_PATH,
        part="keyId",
        title="Keys",
        template="key.html",
        view=_one,
        deeds=_DEEDS,
        scope=Scope.ADMIN,
        needs=Scope.ADMIN,
    ).pages(),
)
