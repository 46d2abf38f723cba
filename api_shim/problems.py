"""What went wrong, said to a client: problem details (RFC 9457), or the short form of the "messages" dialect.

``type`` is one of the stable relative URIs below; clients may switch on it. No detail holds an address, a text,
a token or any other value of the request.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.responses import Response

from models.errors import (
    Conflict,
    IdempotencyInFlight,
    IdempotencyMismatch,
    NotFound,
    Refused,
    StorageUnavailable,
    WireroomError,
)
from models.vocabulary import FailureReason

PROBLEM_JSON: Final = "application/problem+json"


class ProblemType(msgspec.Struct, frozen=True):
    """A kind of problem: the last part of its URI, its title, and the HTTP status it comes with."""

    name: str
    title: str
    status: int

    @property
    def uri(self) -> str:
        """The ``type`` member."""
        return f"/problems/{self.name}"


MALFORMED_REQUEST: Final = ProblemType("malformed-request", "The request is not HTTP/1.1 that can be read", 400)
MALFORMED_JSON: Final = ProblemType("malformed-json", "The body is not JSON that can be read", 400)
INVALID_BODY: Final = ProblemType("invalid-body", "A value in the body has the wrong type or form", 400)
MISSING_FIELD: Final = ProblemType("missing-field", "A required field is missing", 400)
UNKNOWN_FIELD: Final = ProblemType("unknown-field", "The body holds a field that nobody knows", 400)
INVALID_PARAMETER: Final = ProblemType("invalid-parameter", "A query parameter has the wrong type or form", 400)
INVALID_HEADER: Final = ProblemType("invalid-header", "A request header has the wrong form", 400)
UNAUTHORIZED: Final = ProblemType("unauthorized", "Unauthorized", 401)
SIGN_IN_REFUSED: Final = ProblemType("sign-in-refused", "The e-mail address or the password is wrong", 401)
CSRF_TOKEN: Final = ProblemType("csrf-token", "The session's CSRF token is missing or wrong", 403)
CROSS_ORIGIN: Final = ProblemType("cross-origin", "The request comes from another site's page", 403)
MISSING_SCOPE: Final = ProblemType("missing-scope", "The key does not have the scope for this", 403)
NOT_FOUND: Final = ProblemType("not-found", "Not found", 404)
METHOD_NOT_ALLOWED: Final = ProblemType("method-not-allowed", "The address knows no such method", 405)
TIMED_OUT: Final = ProblemType("request-timed-out", "The request did not arrive in time", 408)
NOT_ACCEPTABLE: Final = ProblemType("not-acceptable", "Not proved, and not worth repeating", 406)
CONFLICT: Final = ProblemType("conflict", "The present state does not allow it", 409)
LAST_ADMIN: Final = ProblemType("last-admin", "A workspace keeps its last admin", 409)
IDEMPOTENCY_IN_FLIGHT: Final = ProblemType(
    "idempotency-in-flight", "The first request with this Idempotency-Key has not ended yet", 409
)
TOO_LARGE: Final = ProblemType("request-too-large", "The request is too large", 413)
UNSUPPORTED_ENCODING: Final = ProblemType("unsupported-encoding", "The body's Content-Encoding is not supported", 415)
HEAD_TOO_LARGE: Final = ProblemType("request-head-too-large", "Address and headers are too large", 431)
IDEMPOTENCY_MISMATCH: Final = ProblemType(
    "idempotency-mismatch", "The Idempotency-Key was used for another request", 422
)
TOO_MANY_SIGN_INS: Final = ProblemType("too-many-sign-ins", "Too many sign-ins failed, or are under way", 429)
TOO_MANY_REQUESTS: Final = ProblemType("too-many-requests", "Too many requests", 429)
TOO_MANY_STREAMS: Final = ProblemType("too-many-streams", "Too many streams are open", 429)
INTERNAL: Final = ProblemType("internal", "An error of ours", 500)
CERTIFICATE_UNAVAILABLE: Final = ProblemType(
    "certificate-unavailable", "The provider's certificate cannot be fetched now", 503
)
SECRET_UNREADABLE: Final = ProblemType("secret-unreadable", "A secret that is needed cannot be opened now", 503)
STORAGE_UNAVAILABLE: Final = ProblemType("storage-unavailable", "The database cannot be reached now", 503)

REFUSALS: Final = {
    reason: ProblemType(reason.value.replace("_", "-"), f"Not sent: {reason.value.replace('_', ' ')}", 422)
    for reason in FailureReason
}

ALL_TYPES: Final = (
    MALFORMED_REQUEST,
    MALFORMED_JSON,
    INVALID_BODY,
    MISSING_FIELD,
    UNKNOWN_FIELD,
    INVALID_PARAMETER,
    INVALID_HEADER,
    UNAUTHORIZED,
    SIGN_IN_REFUSED,
    CSRF_TOKEN,
    CROSS_ORIGIN,
    MISSING_SCOPE,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    TIMED_OUT,
    NOT_ACCEPTABLE,
    CONFLICT,
    LAST_ADMIN,
    IDEMPOTENCY_IN_FLIGHT,
    TOO_LARGE,
    UNSUPPORTED_ENCODING,
    HEAD_TOO_LARGE,
    IDEMPOTENCY_MISMATCH,
    TOO_MANY_SIGN_INS,
    TOO_MANY_REQUESTS,
    TOO_MANY_STREAMS,
    INTERNAL,
    STORAGE_UNAVAILABLE,
    CERTIFICATE_UNAVAILABLE,
    SECRET_UNREADABLE,
    *REFUSALS.values(),
)


class FieldError(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong: ``pointer`` into the body (RFC 6901, as a fragment) or the query's ``parameter``."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A problem document (RFC 9457). ``failureReason`` says why a message was refused."""

    type: str
    title: str
    status: int
    detail: str | None = None
    errors: list[FieldError] = []
    failure_reason: FailureReason | None = None


class ShortError(msgspec.Struct, frozen=True):
    """An error of the "messages" dialect; ``internal_code`` is set on a 500 alone."""

    internal_code: str | None
    message: str


class Problem(Exception):
    """Raised to answer with a problem."""

    def __init__(
        self,
        type_: ProblemType,
        detail: str | None = None,
        *,
        errors: tuple[FieldError, ...] = (),
        failure_reason: FailureReason | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(type_.name)
        self.type = type_
        self.headers = dict(headers or {})
        self.body = ProblemBody(
            type=type_.uri,
            title=type_.title,
            status=type_.status,
            detail=detail,
            errors=list(errors),
            failure_reason=failure_reason,
        )


def not_found(noun: str) -> Problem:
    """404 for a thing that does not exist, or not for this caller: the same bytes in both cases."""
    return Problem(NOT_FOUND, f"There is no such {noun}.")


def unauthorized() -> Problem:
    """401, the same for every way in which a credential can be bad."""
    return Problem(
        UNAUTHORIZED,
        "A valid API key is needed, Authorization: Bearer wr_live_…, or below a workspace a session's cookie.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def invalid(detail: str, pointer: str) -> Problem:
    """400 for a value of the body; ``pointer`` begins with ``#/``."""
    return Problem(INVALID_BODY, errors=(FieldError(detail, pointer),))


def problem_of(error: WireroomError) -> Problem:
    """The problem that says a domain error."""
    match error:
        case Refused():
            pointed = () if error.pointer is None else (FieldError(error.detail, _fragment(error.pointer)),)
            return Problem(REFUSALS[error.reason], error.detail, errors=pointed, failure_reason=error.reason)
        case NotFound():
            return Problem(NOT_FOUND, str(error) or None)
        case Conflict():
            return Problem(CONFLICT, str(error) or None)
        case IdempotencyMismatch():
            return Problem(IDEMPOTENCY_MISMATCH, errors=(FieldError("another body had this key", "#"),))
        case IdempotencyInFlight() | StorageUnavailable():
            kind = IDEMPOTENCY_IN_FLIGHT if isinstance(error, IdempotencyInFlight) else STORAGE_UNAVAILABLE
            return Problem(kind, headers={"Retry-After": "1"})
        case _:
            return Problem(INTERNAL)


def _fragment(pointer: str) -> str:
    return pointer if pointer.startswith("#") else f"#{pointer}"


def respond(problem: Problem) -> Response:
    """The problem as ``application/problem+json``."""
    return _json(problem, problem.body, PROBLEM_JSON)


def respond_short(problem: Problem) -> Response:
    """The problem as the "messages" dialect says it."""
    return _json(problem, short_body(problem), "application/json")


def short_body(problem: Problem) -> ShortError:
    """The same, before it is written."""
    body = problem.body
    said = body.errors[0].detail if body.errors else body.title
    code = "internal_error" if body.status == INTERNAL.status else None
    return ShortError(internal_code=code, message=said)


def _json(problem: Problem, body: Any, media_type: str) -> Response:
    return Response(msgspec.json.encode(body), problem.type.status, problem.headers, media_type)
