"""Signing in and out, and a person's own password: ``/api/auth``."""

from typing import Annotated, Final

import msgspec
import structlog
from msgspec import Meta
from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim import audit, problems
from api_shim.operations import Call, Operation, Reply, taking
from api_shim.problems import Problem
from api_shim.sessions import TOKEN_PREFIX, Session, session_of
from api_shim.sign_ins import Attempt, attempt_of, device_cookie, too_many
from api_shim.workspaces.nouns import BAD_BODY
from channels.addresses import check_address
from models import ids, passwords
from models.audit import Action, Ending
from models.ids import Kind
from models.secrets import new_token, token_digest
from models.store import sessions, sign_ins, users
from models.store.users import Membership, UserRow
from models.timestamps import show
from models.vocabulary import Role

_NOT_KEPT: Final = {"Cache-Control": "no-store"}

log = structlog.get_logger("api_shim")

Password = Annotated[str, Meta(max_length=passwords.LONGEST)]
"""A password that is to be checked."""

NewPassword = Annotated[
    str,
    Meta(
        min_length=passwords.SHORTEST,
        max_length=passwords.LONGEST,
        description="Of whatever characters; refused where it is easily guessed, from the e-mail address too.",
    ),
]
"""A password that is to be set."""


class SignInRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Who signs in."""

    email: Annotated[str, Meta(max_length=320)]
    password: Password


class PasswordRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A new password for the person who is signed in."""

    current_password: Password
    new_password: NewPassword


class SignedInUser(msgspec.Struct):
    """The person who is signed in."""

    id: str
    email: str


class SignedInWorkspace(msgspec.Struct):
    """A workspace of theirs, and what they are in it.

    An ``admin`` has every scope of a key, a ``member`` every one but ``admin`` and ``essential``.
    """

    id: str
    name: str
    role: Role


class SessionView(msgspec.Struct, rename="camel"):
    """A session. ``csrfToken`` goes into the ``X-CSRF-Token`` of every request by cookie that is no GET.

    ``expiresAt`` is when it ends if it is not used again: twelve hours from now, at the latest thirty days after it
    began.
    """

    user: SignedInUser
    workspaces: list[SignedInWorkspace]
    csrf_token: str
    expires_at: str


def _view(session: Session, memberships: list[Membership]) -> SessionView:
    return SessionView(
        user=SignedInUser(ids.show(Kind.USER, session.user_id), session.email),
        workspaces=[SignedInWorkspace(ids.show(Kind.WORKSPACE, each.id), each.name, each.role) for each in memberships],
        csrf_token=session.csrf_token,
        expires_at=show(session.ends_at),
    )


def _refused() -> Problem:
    return Problem(problems.SIGN_IN_REFUSED, headers={"WWW-Authenticate": "Bearer"} | _NOT_KEPT)


async def sign_in(call: Call, request: SignInRequest) -> Reply:
    """Begin a session. Whether there is such an account, no answer and no time that it takes says."""
    services = call.services
    services.sessions.check_origin(call.request)
    with services.sign_ins.entered():
        user, attempt = await _charged(call, _as_kept(request.email))
        right = await services.passwords.verify(None if user is None else user.password_hash, request.password)
        if user is None or not right:
            await _note_refusal(call, Action.SIGN_IN, user)
            raise _refused()
        return await _begin(call, user, attempt, request.password)


def _as_kept(email: str) -> str:
    """The address as accounts are kept under it; what is none names nobody."""
    try:
        return check_address(email.strip())
    except ValueError:
        return email


async def _charged(call: Call, email: str) -> tuple[UserRow | None, Attempt]:
    """The account, and what the attempt was counted under as a failure; raises Problem (429) in a pause."""
    services = call.services
    keyring = await services.keyring()
    try:
        async with services.database.write() as connection:
            user = await users.by_email(connection, email)
            attempt = attempt_of(call.request, services.sessions.cookies, keyring, email, user)
            await sign_ins.charge(connection, attempt.subjects)
    except sign_ins.Paused as paused:
        log.warning("a sign-in has to wait", wait_ms=paused.wait_ms)
        raise too_many(paused.wait_ms) from None
    return user, attempt


async def _note_refusal(call: Call, action: Action, user: UserRow | None) -> None:
    async with call.services.database.write() as connection:
        await audit.of_account(connection, call, action, None if user is None else user.id, Ending.REFUSED)


async def _begin(call: Call, user: UserRow, attempt: Attempt, password: str) -> Reply:
    """The session of a person whose password was right; the one that the browser had ends."""
    services = call.services
    hashed = await services.passwords.hash(password) if services.passwords.is_outdated(user.password_hash) else None
    former = services.sessions.token(call.request)
    async with services.database.write() as connection:
        await _still(connection, user)
        if hashed is not None:
            await users.rehash(connection, user.id, hashed)
        if former is not None:
            await sessions.end(connection, token_digest(former))
        await sign_ins.settle(connection, cleared=attempt.own, give_back=attempt.client)
        session, token = await _new_session(connection, user)
        memberships = await users.workspaces_of(connection, user.id)
        await audit.of_account(connection, call, Action.SIGN_IN, user.id)
    log.info("signed in", user=ids.show(Kind.USER, user.id))
    cookies = (services.sessions.cookie(token), device_cookie(services.sessions.cookies, attempt))
    return Reply(_view(session, memberships), headers=_NOT_KEPT, cookies=cookies)


async def _still(connection: AsyncConnection, user: UserRow) -> None:
    """Lock a person whose password was verified; raises Problem (401) where it was changed meanwhile."""
    now = await users.lock(connection, user.id)
    if now is None or now.password_hash != user.password_hash:
        raise _refused()


async def _new_session(connection: AsyncConnection, user: UserRow) -> tuple[Session, str]:
    token, digest = new_token(TOKEN_PREFIX)
    return session_of(await sessions.create(connection, user.id, digest), token), token


async def sign_out(call: Call) -> Reply:
    """End the session."""
    services = call.services
    token = services.sessions.token(call.request)
    if token is not None:
        async with services.database.write() as connection:
            await sessions.end(connection, token_digest(token))
            await audit.of_account(connection, call, Action.SIGN_OUT, call.signed_in.user_id)
    return Reply(headers=_NOT_KEPT, cookies=(services.sessions.no_cookie(),))


async def get_session(call: Call) -> Reply:
    """Who is signed in."""
    session = call.signed_in
    async with call.services.database.read() as connection:
        memberships = await users.workspaces_of(connection, session.user_id)
    return Reply(_view(session, memberships), headers=_NOT_KEPT)


async def change_password(call: Call, request: PasswordRequest) -> Reply:
    """Change one's own password: every session ends, and this browser gets a new one."""
    services, email = call.services, call.signed_in.email
    with services.sign_ins.entered():
        try:
            await services.passwords.check(request.new_password, email)
        except ValueError as error:
            raise problems.invalid(str(error), "#/newPassword") from None
        user, attempt = await _charged(call, email)
        if user is None or not await services.passwords.verify(user.password_hash, request.current_password):
            await _note_refusal(call, Action.OWN_PASSWORD, user)
            raise problems.invalid("is not the present password", "#/currentPassword")
        hashed = await services.passwords.hash(request.new_password)
    async with services.database.write() as connection:
        await _still(connection, user)
        await sign_ins.settle(connection, cleared=attempt.own, give_back=attempt.client)
        await users.set_password(connection, user.id, hashed)
        session, token = await _new_session(connection, user)
        memberships = await users.workspaces_of(connection, user.id)
        await audit.of_account(connection, call, Action.OWN_PASSWORD, user.id)
    log.info("password changed", user=ids.show(Kind.USER, user.id))
    return Reply(_view(session, memberships), headers=_NOT_KEPT, cookies=(services.sessions.cookie(token),))


_SIGN_IN_ERRORS: Final = (*BAD_BODY, problems.CROSS_ORIGIN, problems.TOO_MANY_SIGN_INS)

OPERATIONS: Final = (
    Operation(
        "POST",
        "/api/auth/sign-in",
        summary="Sign in: the answer sets the session's cookie and holds its CSRF token",
        tag="Sessions",
        scope=None,
        responses={200: SessionView},
        errors=(*_SIGN_IN_ERRORS, problems.SIGN_IN_REFUSED),
        **taking(SignInRequest, sign_in),
    ),
    Operation(
        "POST",
        "/api/auth/sign-out",
        sign_out,
        summary="Sign out: the session ends at once",
        tag="Sessions",
        scope=None,
        needs_session=True,
        responses={204: None},
    ),
    Operation(
        "GET",
        "/api/auth/session",
        get_session,
        summary="Who is signed in, where they belong, and the CSRF token of the session",
        tag="Sessions",
        scope=None,
        needs_session=True,
        responses={200: SessionView},
    ),
    Operation(
        "POST",
        "/api/auth/password",
        summary="Change one's own password: all sessions end, and this one begins anew",
        tag="Sessions",
        scope=None,
        needs_session=True,
        responses={200: SessionView},
        errors=(*_SIGN_IN_ERRORS, problems.SIGN_IN_REFUSED),
        **taking(PasswordRequest, change_password),
    ),
)
