"""A workspace's people in the "workspace" dialect: who may sign in to it, and as what."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim import problems
from api_shim.audit import changing
from api_shim.auth import scopes_of
from api_shim.operations import Call, Reply
from api_shim.problems import Problem
from api_shim.workspaces.paging import PageQuery, Pagination
from api_shim.workspaces.stored import fetch_one
from api_shim.workspaces.user_types import UserList, UserPatch, UserRequest, UserView
from channels.addresses import check_address
from models import ids
from models.audit import Action
from models.errors import Conflict
from models.ids import Kind
from models.sandboxes import is_sandbox
from models.store import users
from models.store.users import MemberRow
from models.timestamps import show
from models.vocabulary import Role

_NOUN: Final = "user"


def _view(row: MemberRow) -> UserView:
    return UserView(id=ids.show(Kind.USER, row.id), email=row.email, role=row.role, created_at=show(row.created_at))


def _need_all_of(call: Call, role: Role) -> None:
    """Nobody makes, changes or removes a person who may do more than they do; raises Problem (403)."""
    if not scopes_of(role) <= call.caller.scopes:
        raise Problem(
            problems.MISSING_SCOPE,
            f"Only who has every scope of the role {role.value} gives it or takes it, or sets its password.",
        )


async def create(call: Call, request: UserRequest) -> Reply:
    """Make a person who may sign in."""
    if is_sandbox(call.workspace_id):
        # Accounts are the whole house's: a test key would make them outside of its sandbox.
        raise Problem(problems.CONFLICT, "Whoever belongs to a workspace belongs to its sandbox: let them in there.")
    _need_all_of(call, request.role)
    try:
        email = check_address(request.email.strip())
    except ValueError as error:
        raise problems.invalid(str(error), "#/email") from None
    hashed = await _hashed(call, request.password, email)
    async with changing(call, Action.USER_CREATE) as change:
        try:
            made = await users.create(change.connection, email, hashed)
        except Conflict:
            # Not put into this workspace: whoever made the account elsewhere may still know its password.
            raise Problem(
                problems.CONFLICT,
                "This e-mail address has an account. Whoever runs Wireroom adds it to another workspace: "
                "wireroom user create EMAIL --workspace NAME_OR_ID",
            ) from None
        await users.join(change.connection, made.id, call.workspace_id, request.role)
        change.of(Kind.USER, made.id, role=request.role.value)
    return Reply(_view(MemberRow(made.id, made.email, request.role, made.created_at)))


async def _hashed(call: Call, password: str, email: str) -> str:
    """The hash of a new password; raises Problem (400)."""
    try:
        await call.services.passwords.check(password, email)
    except ValueError as error:
        raise problems.invalid(str(error), "#/password") from None
    return await call.services.passwords.hash(password)


async def list_all(call: Call, query: PageQuery) -> Reply:
    """A page of people, the newest first."""
    async with call.services.database.read() as connection:
        rows, total = await users.page(connection, call.workspace_id, limit=query.limit, offset=query.offset)
    return Reply(UserList(data=[_view(row) for row in rows], pagination=Pagination.of(query, total)))


async def get(call: Call) -> Reply:
    """One person."""
    return Reply(_view(await fetch_one(call, Kind.USER, _NOUN, users.member)))


async def patch(call: Call, request: UserPatch) -> Reply:
    """Change a person's role, or set a password that they have forgotten."""
    wanted = await fetch_one(call, Kind.USER, _NOUN, users.member)
    for role in (wanted.role, request.role):
        if isinstance(role, Role):
            _need_all_of(call, role)
    hashed = None
    if isinstance(request.password, str):
        hashed = await _hashed(call, request.password, wanted.email)
    async with changing(call, Action.USER_CHANGE) as change:
        change.of(Kind.USER, wanted.id)
        await _hold(call, change.connection, wanted)
        if isinstance(request.role, Role) and request.role is not wanted.role:
            _not_oneself(call, wanted)
            await _not_the_last_admin(call, change.connection, wanted)
            await users.set_role(change.connection, call.workspace_id, wanted.id, request.role)
            change.details["role"] = request.role.value
        if hashed is not None:
            await _set_password(call, change.connection, wanted, hashed)
        changed = await users.member(change.connection, call.workspace_id, wanted.id)
    return Reply(_view(changed or wanted))


async def _hold(call: Call, connection: AsyncConnection, wanted: MemberRow) -> None:
    """Let nobody else change the person until the transaction ends; raises Problem where they did (404, 409)."""
    await users.lock(connection, wanted.id)
    now = await users.member(connection, call.workspace_id, wanted.id)
    if now is None:
        raise problems.not_found(_NOUN)
    if now.role is not wanted.role:
        raise Problem(problems.CONFLICT, "Somebody else has changed this person's role at the same time.")


async def _not_the_last_admin(call: Call, connection: AsyncConnection, person: MemberRow) -> None:
    """A workspace that has an admin keeps one, also where two remove each other at once; raises Problem (409)."""
    if person.role is Role.ADMIN and await users.lock_admins(connection, call.workspace_id) == {person.id}:
        raise Problem(problems.LAST_ADMIN, "Make somebody else an admin first.")


async def _set_password(call: Call, connection: AsyncConnection, person: MemberRow, hashed: str) -> None:
    if len(await users.workspaces_of(connection, person.id)) > 1:
        # It would let the admins of one workspace into another.
        raise Problem(problems.CONFLICT, "This person belongs to other workspaces too, and sets the password alone.")
    await users.set_password(connection, person.id, hashed)


def _not_oneself(call: Call, person: MemberRow) -> None:
    """A person neither leaves nor steps down by mistake; raises Problem (409)."""
    if call.caller.user_id == person.id:
        raise Problem(problems.CONFLICT, "This is yourself: ask another admin.")


async def remove(call: Call) -> Reply:
    """Take a person out of the workspace: at once, and the account goes with its last workspace."""
    wanted = await fetch_one(call, Kind.USER, _NOUN, users.member)
    _not_oneself(call, wanted)
    _need_all_of(call, wanted.role)
    async with changing(call, Action.USER_REMOVE) as change:
        change.of(Kind.USER, wanted.id)
        await _hold(call, change.connection, wanted)
        await _not_the_last_admin(call, change.connection, wanted)
        await users.leave(change.connection, call.workspace_id, wanted.id)
    return Reply()
