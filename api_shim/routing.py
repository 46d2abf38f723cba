"""Every operation of the API on one table. The routes and the OpenAPI document are both made of it."""

from collections.abc import Sequence
from typing import Final

from starlette.routing import BaseRoute

from api_shim import (
    auth_routes,
    clicks,
    docs,
    health,
    hook_bodies,
    hooks,
    inbox_routes,
    messages,
    metrics,
    opt_out,
    preferences,
    preferences_page,
    problems,
    push_routes,
    tracking,
    widget,
)
from api_shim.console import table as console
from api_shim.endpoints import routes_of
from api_shim.operations import Operation, asking
from api_shim.services import Services
from api_shim.workspaces import table as workspaces
from api_shim.workspaces import users_table as users
from channels.providers.generic import GenericBody
from models.vocabulary import Scope

_SECOND: Final = "Messages, second dialect"
_INCOMING: Final = "What comes back in"

_OWN: Final = (
    Operation(
        "GET",
        "/messages",
        summary="Retrieve a list of messages, the most recent first",
        tag=_SECOND,
        scope=Scope.MESSAGES_READ,
        responses={200: messages.MessagePage},
        short_errors=True,
        **asking(messages.ListQuery, messages.list_all),
    ),
    Operation(
        "GET",
        "/messages/{messageId}",
        messages.get,
        summary="Retrieve a message",
        tag=_SECOND,
        scope=Scope.MESSAGES_READ,
        responses={200: messages.Message},
        errors=(problems.NOT_FOUND,),
        short_errors=True,
    ),
    Operation(
        "GET",
        "/hooks/{provider}/{hookKey}",
        hooks.look,
        summary="Whether a hook listens at the address; HEAD too",
        tag=_INCOMING,
        scope=None,
        responses={200: hooks.HookThere},
        errors=(problems.UNAUTHORIZED, problems.NOT_FOUND, problems.SECRET_UNREADABLE),
    ),
    Operation(
        "POST",
        "/hooks/{provider}/{hookKey}",
        hooks.receive,
        summary="Report events as a provider does, signed as that provider signs",
        tag=_INCOMING,
        scope=None,
        request=GenericBody,
        other_requests=hook_bodies.BODIES,
        notes=hook_bodies.NOTES,
        responses={200: hooks.HookReply},
        errors=(
            problems.UNAUTHORIZED,
            problems.NOT_FOUND,
            problems.NOT_ACCEPTABLE,
            problems.TIMED_OUT,
            problems.TOO_LARGE,
            problems.UNSUPPORTED_ENCODING,
            problems.CERTIFICATE_UNAVAILABLE,
            problems.SECRET_UNREADABLE,
        ),
        headers=hook_bodies.HEADERS,
    ),
    Operation(
        "GET",
        "/health/live",
        health.live,
        summary="Whether the process answers",
        tag="Health",
        scope=None,
        responses={200: health.Live},
    ),
    Operation(
        "GET",
        "/health/ready",
        health.ready,
        summary="Whether database, schema and broker are there; 503 names what is missing",
        tag="Health",
        scope=None,
        responses={200: health.Ready, 503: health.Ready},
    ),
)

DOCUMENTED: Final = (
    *workspaces.OPERATIONS,
    *users.OPERATIONS,
    *auth_routes.OPERATIONS,
    *_OWN,
    *inbox_routes.OPERATIONS,
    *widget.OPERATIONS,
    *push_routes.OPERATIONS,
    *tracking.OPERATIONS,
    *clicks.OPERATIONS,
    *opt_out.OPERATIONS,
    *preferences_page.OPERATIONS,
    *preferences.OPERATIONS,
    *metrics.OPERATIONS,
)
OPERATIONS: Final = (*DOCUMENTED, *docs.operations(DOCUMENTED))


def routes(services: Services) -> Sequence[BaseRoute]:
    """One route per path, in the order of the table, and the pages of the console, which are no part of the API."""
    return [*routes_of(OPERATIONS, services), *console.routes(services)]
