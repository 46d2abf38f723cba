"""Who is calling: API keys as bearer tokens, and what a person's role lets them do."""

import asyncio
import time
from typing import Final
from uuid import UUID

import msgspec

from api_shim import problems
from api_shim.key_use import KeyUse
from api_shim.problems import Problem
from models import secrets
from models.audit import Actor, ActorKind
from models.session import Database
from models.store import keys
from models.vocabulary import Role, Scope

_REMEMBERED_S: Final = 1.0
_MOST_REMEMBERED: Final = 10_000
_LONGEST_TOKEN: Final = 200


class Principal(msgspec.Struct, frozen=True):
    """A caller, a key or a person who is signed in: its workspace, and what it may do."""

    workspace_id: UUID
    scopes: frozenset[Scope]
    key_id: UUID | None = None
    user_id: UUID | None = None

    @property
    def actor(self) -> Actor:
        """Who it is, as the audit log names it."""
        if self.user_id is not None:
            return Actor(ActorKind.USER, self.user_id)
        if self.key_id is None:
            raise RuntimeError("whoever calls is a key or a person")
        return Actor(ActorKind.KEY, self.key_id)

    def need(self, scope: Scope) -> None:
        """Raises Problem (403) where the key does not have ``scope``."""
        if scope not in self.scopes:
            raise Problem(problems.MISSING_SCOPE, f"This needs the scope {scope.value}.")


_ROLES: Final = {Role.ADMIN: frozenset(Scope), Role.MEMBER: frozenset(Scope) - {Scope.ADMIN, Scope.ESSENTIAL}}


def scopes_of(role: Role) -> frozenset[Scope]:
    """What a person of that role may do: as a key with these scopes."""
    return _ROLES[role]


class _Remembered(msgspec.Struct, frozen=True):
    principal: Principal
    expires_at: int | None  # the key's own end, in milliseconds
    until: float  # on the monotonic clock


class Authenticator:
    """Knows the callers. A good key is remembered for a second: so long may a key live on after it was revoked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._use = KeyUse(database)
        self._remembered: dict[bytes, _Remembered] = {}
        self._asking: dict[bytes, asyncio.Task[_Remembered | None]] = {}

    async def principal(self, authorization: str | None) -> Principal:
        """The caller that an ``Authorization`` header names; raises Problem (401) for any bad one."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _LONGEST_TOKEN:
            raise problems.unauthorized()
        digest = secrets.token_digest(token)
        known = self._remembered.get(digest)
        if known is None or known.until < time.monotonic():
            known = await self._ask(digest)
        if known is None or (known.expires_at is not None and known.expires_at <= time.time() * 1000):
            raise problems.unauthorized()
        return known.principal

    async def drain(self) -> None:
        """Return once the use of every key is noted."""
        await self._use.drain()

    def forget(self) -> None:
        """Ask the database again for every key: one was revoked here."""
        self._remembered.clear()

    async def _ask(self, digest: bytes) -> _Remembered | None:
        # Requests that come together with one key ask once; none of them, being cancelled, stops the others.
        task = self._asking.get(digest)
        if task is None:
            task = self._asking[digest] = asyncio.create_task(self._look_up(digest))
            task.add_done_callback(lambda _: self._asking.pop(digest, None))
        return await asyncio.shield(task)

    async def _look_up(self, digest: bytes) -> _Remembered | None:
        async with self._database.look() as connection:
            key = await keys.by_digest(connection, digest)
        if key is None or key.revoked_at is not None:
            self._remembered.pop(digest, None)
            return None
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        principal = Principal(key_id=key.id, workspace_id=key.workspace_id, scopes=key.scopes)
        known = _Remembered(principal, key.expires_at, time.monotonic() + _REMEMBERED_S)
        self._remembered[digest] = known
        self._use.note(key.id, key.last_used_at)
        return known
