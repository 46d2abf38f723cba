"""The accounts of people, in the database itself."""

from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from channels.addresses import check_address
from models import ids
from models.errors import Conflict, NotFound, WireroomError
from models.passwords import Passwords
from models.store import users, workspaces
from models.store.workspaces import WorkspaceRow
from models.vocabulary import Role
from wireroom.accounts import opened


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
            found = await _workspace(connection, workspace)
            try:
                made = await users.create(connection, email, hashed)
            except Conflict as error:
                raise Conflict(
                    f"{error}: leave the password out, and it joins the workspace with its own; "
                    "`wireroom user password EMAIL` sets another"
                ) from error
            await users.join(connection, made.id, found.id, role)
    return ids.show(ids.Kind.USER, made.id)


async def create_or_join(
    database_url: str, email: str, workspace: str, role: Role, ask: Callable[[], str]
) -> tuple[str, bool]:
    """The shown id of a person who is in the workspace from now on, and whether the account is new.

    ``ask`` is called for a new account's password alone. Raises as ``create`` does, and Conflict for one who is in
    the workspace already.
    """
    async with opened(database_url) as database, database.write() as connection:
        found = await _workspace(connection, workspace)
        known = await users.by_email(connection, _checked(email))
        if known is not None:
            await users.lock(connection, known.id)
            await users.join(connection, known.id, found.id, role)
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


async def _workspace(connection: AsyncConnection, name_or_id: str) -> WorkspaceRow:
    found = await workspaces.find(connection, name_or_id)
    if found is None:
        raise NotFound(
            f"no workspace {name_or_id}: `wireroom workspace create NAME` makes one, `wireroom workspace list` "
            "shows all"
        )
    return found
