"""People who are signed in: the cookie of a session, and the proof that a request by cookie is meant."""

import base64
import hashlib
import hmac
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from starlette.requests import Request

from api_shim import problems
from api_shim.auth import Principal, scopes_of
from api_shim.problems import Problem
from models import secrets
from models.sandboxes import is_sandbox, live_of
from models.session import Database
from models.store import sessions, users, workspaces
from models.store.sessions import LONGEST_MS, SessionRow

CSRF_HEADER: Final = "X-CSRF-Token"
TOKEN_PREFIX: Final = "wr_sess_"
_LONGEST_TOKEN: Final = 200
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110, section 9.2.1: they change nothing here
_OWN_FETCHES: Final = frozenset({"same-origin", "none"})  # Fetch Metadata: our own page, or the person's own doing
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Session(msgspec.Struct, frozen=True):
    """A session that holds. ``ends_at`` is milliseconds (UTC)."""

    id: UUID
    user_id: UUID
    email: str
    ends_at: int
    csrf_token: str


class Cookies:
    """How our cookies are named and kept (RFC 6265bis).

    ``Secure`` is left out where the public URL is http on this machine's own loopback alone: some browsers and
    clients would never send such a cookie back there, and nobody else can listen. Over http from anywhere else a
    browser refuses the cookie, and nobody can sign in: that is meant, and then ``kept`` is false.
    """

    def __init__(self, public_url: str) -> None:
        scheme, host, _ = _origin(public_url)
        # With this prefix a browser takes the cookie from this very host alone, never from a sister of it.
        prefix = "__Host-" if scheme == "https" else ""
        self.session = f"{prefix}wireroom_session"
        self.device = f"{prefix}wireroom_device"
        self.done = f"{prefix}wireroom_done"
        self.kept = scheme == "https" or host in _LOOPBACK
        self._secure = "" if scheme == "http" and host in _LOOPBACK else "; Secure"

    def set(self, name: str, value: str, seconds: int) -> str:
        """The ``Set-Cookie`` that keeps a value for so long; no seconds remove it."""
        return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{self._secure}"


class Sessions:
    """Knows who is signed in. Nothing is remembered: a session that was ended is at once no more, in any process."""

    def __init__(self, database: Database, public_url: str) -> None:
        self._database = database
        self._own_origin = _origin(public_url)
        self.cookies = Cookies(public_url)

    def token(self, request: Request) -> str | None:
        """The secret of the session that the request carries, good or not."""
        token = request.cookies.get(self.cookies.session)
        return token if token and len(token) <= _LONGEST_TOKEN else None

    def cookie(self, token: str) -> str:
        """The ``Set-Cookie`` of a session that begins."""
        return self.cookies.set(self.cookies.session, token, LONGEST_MS // 1000)

    def no_cookie(self) -> str:
        """The ``Set-Cookie`` of a session that has ended."""
        return self.cookies.set(self.cookies.session, "", 0)

    async def identify(self, request: Request, csrf_token: str | None = None) -> Session:
        """Whose session the request carries; raises Problem: 401 for a bad one, 403 for a write that is not proven.

        ``csrf_token``: what a form gave; None: the header counts.
        """
        token = self.token(request)
        if token is None:
            raise problems.unauthorized()
        async with self._database.read() as connection:
            row = await sessions.find(connection, secrets.token_digest(token))
        if row is None:
            raise problems.unauthorized()
        session = session_of(row, token)
        if request.method not in _SAFE_METHODS:
            self.check_origin(request)
            given = request.headers.get(CSRF_HEADER, "") if csrf_token is None else csrf_token
            if not hmac.compare_digest(given.encode(), session.csrf_token.encode()):
                raise Problem(problems.CSRF_TOKEN, f"{CSRF_HEADER} is what GET /api/auth/session answers.")
        return await self._touched(session) if row.stale else session

    async def _touched(self, session: Session) -> Session:
        async with self._database.write() as connection:
            ends_at = await sessions.touch(connection, session.id)
        if ends_at is None:
            raise problems.unauthorized()
        return msgspec.structs.replace(session, ends_at=ends_at)

    async def principal(self, session: Session, workspace_id: UUID) -> Principal | None:
        """What the person may do in a workspace; None where they do not belong to it. A sandbox is as its workspace."""
        async with self._database.read() as connection:
            role = await users.role_in(connection, session.user_id, live_of(workspace_id))
            if is_sandbox(workspace_id) and await workspaces.get(connection, workspace_id) is None:
                return None
        if role is None:
            return None
        return Principal(workspace_id=workspace_id, scopes=scopes_of(role), user_id=session.user_id)

    def check_origin(self, request: Request) -> None:
        """Raises Problem (403) where the browser says that a page of another site sends the request."""
        fetched = request.headers.get("sec-fetch-site")
        origin = request.headers.get("origin")
        if (fetched is not None and fetched not in _OWN_FETCHES) or not self._is_own(origin):
            raise Problem(problems.CROSS_ORIGIN, "Sessions are for pages of WIREROOM_PUBLIC_URL alone.")

    def _is_own(self, origin: str | None) -> bool:
        if origin is None:
            return True
        try:
            scheme, host, port = _origin(origin)
        except ValueError:
            return False
        own_scheme, own_host, own_port = self._own_origin
        same_host = host == own_host or {host, own_host} <= _LOOPBACK
        return same_host and (scheme, port) == (own_scheme, own_port)


def session_of(row: SessionRow, token: str) -> Session:
    """The session of a row and its secret. Its CSRF token is of the secret, and tells nothing of it."""
    code = hmac.digest(token.encode(), b"wireroom 1 csrf", hashlib.sha256)
    csrf_token = base64.urlsafe_b64encode(code).decode().rstrip("=")
    return Session(id=row.id, user_id=row.user_id, email=row.email, ends_at=row.ends_at, csrf_token=csrf_token)


def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port (RFC 6454); raises ValueError for a port that is none."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)
