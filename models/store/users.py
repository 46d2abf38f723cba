"""People, and the workspaces that they belong to."""

from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Select, delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import Conflict
from models.store import sessions, sign_ins
from models.store.rows import columns_of, insert_if_free, read
from models.tables import memberships, users, workspaces
from models.vocabulary import Role


class UserRow(msgspec.Struct, frozen=True):
    """A person; ``email`` in lower case. ``created_at`` is milliseconds (UTC)."""

    id: UUID
    email: str
    password_hash: str
    created_at: int


class MemberRow(msgspec.Struct, frozen=True):
    """A person in a workspace."""

    id: UUID
    email: str
    role: Role
    created_at: int


class Membership(msgspec.Struct, frozen=True):
    """A workspace that a person belongs to."""

    id: UUID
    name: str
    role: Role


def normal_email(email: str) -> str:
    """The form in which an e-mail address names a person: no provider in use tells two apart by letter case."""
    return email.strip().casefold()


async def create(connection: AsyncConnection, email: str, password_hash: str) -> UserRow:
    """A new person, in no workspace yet; raises Conflict where the address has an account."""
    made = await insert_if_free(connection, users, UserRow, email=normal_email(email), password_hash=password_hash)
    if made is None:
        raise Conflict("this e-mail address has an account already")
    return made


async def by_email(connection: AsyncConnection, email: str) -> UserRow | None:
    """The person of that address."""
    return await _one(connection, _people().where(users.c.email == normal_email(email)))


async def lock(connection: AsyncConnection, user_id: UUID) -> UserRow | None:
    """The person, whom no other transaction changes until the end of this one."""
    return await _one(connection, _people().where(users.c.id == user_id).with_for_update())


def _people() -> Select[Any]:
    return select(*columns_of(users, UserRow))


async def _one(connection: AsyncConnection, statement: Select[Any]) -> UserRow | None:
    row = (await connection.execute(statement)).first()
    return None if row is None else read(row, UserRow)


async def rehash(connection: AsyncConnection, user_id: UUID, password_hash: str) -> None:
    """Store another hash of the same password."""
    await connection.execute(update(users).where(users.c.id == user_id).values(password_hash=password_hash))


async def set_password(connection: AsyncConnection, user_id: UUID, password_hash: str) -> None:
    """Store a new password's hash, end every session that the former one began, and the pause of who guessed at it."""
    await rehash(connection, user_id, password_hash)
    await sessions.end_all(connection, user_id)
    await sign_ins.forget(connection, user_id.bytes)


async def join(connection: AsyncConnection, user_id: UUID, workspace_id: UUID, role: Role) -> None:
    """Put a person into a workspace; raises Conflict for one who is in it."""
    if await role_in(connection, user_id, workspace_id) is not None:
        raise Conflict("this person belongs to the workspace already")
    await connection.execute(memberships.insert().values(user_id=user_id, workspace_id=workspace_id, role=role.value))


async def role_in(connection: AsyncConnection, user_id: UUID, workspace_id: UUID) -> Role | None:
    """What a person is in a workspace; None where they do not belong to it."""
    role = await connection.scalar(
        select(memberships.c.role).where(memberships.c.user_id == user_id, memberships.c.workspace_id == workspace_id)
    )
    return None if role is None else Role(role)


async def workspaces_of(connection: AsyncConnection, user_id: UUID) -> list[Membership]:
    """Every workspace of a person, the oldest first."""
    rows = await connection.execute(
        select(workspaces.c.id, workspaces.c.name, memberships.c.role)
        .join(memberships, memberships.c.workspace_id == workspaces.c.id)
        .where(memberships.c.user_id == user_id)
        .order_by(workspaces.c.id)
    )
    return [read(row, Membership) for row in rows]


def _members(workspace_id: UUID) -> Select[Any]:
    return (
        select(users.c.id, users.c.email, memberships.c.role, users.c.created_at)
        .join(memberships, memberships.c.user_id == users.c.id)
        .where(memberships.c.workspace_id == workspace_id)
    )


async def member(connection: AsyncConnection, workspace_id: UUID, user_id: UUID) -> MemberRow | None:
    """A person of a workspace."""
    row = (await connection.execute(_members(workspace_id).where(users.c.id == user_id))).first()
    return None if row is None else read(row, MemberRow)


async def page(
    connection: AsyncConnection, workspace_id: UUID, *, limit: int, offset: int
) -> tuple[list[MemberRow], int]:
    """A page of a workspace's people, the newest first, and their number."""
    total = await connection.scalar(
        select(func.count()).select_from(memberships).where(memberships.c.workspace_id == workspace_id)
    )
    newest = _members(workspace_id).order_by(memberships.c.user_id.desc()).limit(limit).offset(offset)
    return [read(row, MemberRow) for row in await connection.execute(newest)], int(total or 0)


async def set_role(connection: AsyncConnection, workspace_id: UUID, user_id: UUID, role: Role) -> None:
    """Give a person of a workspace another role in it."""
    await connection.execute(
        update(memberships)
        .where(memberships.c.workspace_id == workspace_id, memberships.c.user_id == user_id)
        .values(role=role.value)
    )


async def lock_admins(connection: AsyncConnection, workspace_id: UUID) -> set[UUID]:
    """A workspace's admins, of whom no other transaction removes or demotes one until the end of this one."""
    admins = (
        select(memberships.c.user_id)
        .where(memberships.c.workspace_id == workspace_id, memberships.c.role == Role.ADMIN.value)
        .order_by(memberships.c.user_id)
        .with_for_update()
    )
    return set(await connection.scalars(admins))


async def leave(connection: AsyncConnection, workspace_id: UUID, user_id: UUID) -> bool:
    """Take a person out of a workspace; the account goes with the last one. False where they are not in it."""
    await lock(connection, user_id)  # who joins another workspace at the same time keeps the account
    left = await connection.execute(
        delete(memberships)
        .where(memberships.c.workspace_id == workspace_id, memberships.c.user_id == user_id)
        .returning(memberships.c.user_id)
    )
    if left.first() is None:
        return False
    elsewhere = exists().where(memberships.c.user_id == users.c.id)
    await connection.execute(delete(users).where(users.c.id == user_id, ~elsewhere))
    return True
