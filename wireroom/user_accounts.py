"""The accounts of people, in the database itself."""

from collections.abc import Callable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from channels.addresses import check_address
from models import ids
from models.audit import COMMAND, Action, Thing
from models.errors import Conflict, NotFound, WireroomError
from models.passwords import Passwords
from models.store import audit, users
from models.store.audit import NewEntry
from models.vocabulary import Role
from wireroom.accounts import opened, workspace_of


class Unusable(WireroomError):
    """An address or a password that cannot be taken."""


async def create(database_url: str, email: str, workspace: str, role: Role, password: str) -> str:
    """The shown id of a new person in a workspace, named by name or shown id.

    Raises NotFound for an unknown workspace, Conflict where the address has an account, Unusable.
    """
    email = _checked(email)
    async with opened(database_url) as database:
        hashed = await _hashed(password, email)
        async with database.write() as connection:
            found = await workspace_of(connection, workspace)
            try:
                made = await users.create(connection, email, hashed)
            except Conflict as error:
                raise Conflict(
                    f"{error}: leave the password out, and it joins the workspace with its own; "
                    "`wireroom user password EMAIL` sets another"
                ) from error
            await users.join(connection, made.id, found.id, role)
            await _note(connection, Action.USER_CREATE, made.id, found.id, role=role.value)
    return ids.show(ids.Kind.USER, made.id)


async def create_or_join(
    database_url: str, email: str, workspace: str, role: Role, ask: Callable[[], str]
) -> tuple[str, bool]:
    """The shown id of a person who is in the workspace from now on, and whether the account is new.

    ``ask`` is called for a new account's password alone. Raises as ``create`` does, and Conflict for one who is in
    the workspace already.
    """
    async with opened(database_url) as database, database.write() as connection:
        found = await workspace_of(connection, workspace)
        known = await users.by_email(connection, _checked(email))
        if known is not None:
            await users.lock(connection, known.id)
            await users.join(connection, known.id, found.id, role)
            await _note(connection, Action.USER_JOIN, known.id, found.id, role=role.value)
            return ids.show(ids.Kind.USER, known.id), False
    return await create(database_url, email, workspace, role, ask()), True


async def set_password(database_url: str, email: str, ask: Callable[[], str]) -> str:
    """Set a person's password, which ends their sessions; the shown id. Raises NotFound for an unknown address."""
    async with opened(database_url) as database:
        async with database.read() as connection:
            known = await users.by_email(connection, _checked(email))
        if known is None:
            raise NotFound("no account of this e-mail address: `wireroom user create` makes one")
        hashed = await _hashed(ask(), known.email)
        async with database.write() as connection:
            await users.set_password(connection, known.id, hashed)
            theirs = [each.id for each in await users.workspaces_of(connection, known.id)]
            await _note(connection, Action.USER_CHANGE, known.id, *theirs, fields=["password"])
    return ids.show(ids.Kind.USER, known.id)


def _checked(email: str) -> str:
    try:
        return check_address(email.strip())
    except ValueError as error:
        raise Unusable(str(error)) from None


async def _hashed(password: str, email: str) -> str:
    passwords = Passwords()
    try:
        await passwords.check(password, email)
        return await passwords.hash(password)
    except ValueError as error:
        raise Unusable(f"the password {error}") from None
    finally:
        passwords.close()


async def _note(
    connection: AsyncConnection, action: Action, user_id: UUID, *workspace_ids: UUID, **details: str | list[str]
) -> None:
    thing = Thing(ids.Kind.USER, user_id)
    entries = [NewEntry(each, COMMAND, action, thing=thing, details=dict(details)) for each in workspace_ids]
    if entries:
        await audit.add(connection, *entries)
