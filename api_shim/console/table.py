"""Every page of the console on one table. It is no part of the API, and not in the OpenAPI document.

A new page is a module that gives ``PAGES`` and a template beside the others, and a line here.
"""

from collections.abc import Sequence
from typing import Final

from starlette.routing import BaseRoute

from api_shim import problems
from api_shim.console import (
    audit,
    campaigns,
    endpoints,
    keys,
    lanes,
    message,
    messages,
    overview,
    signing,
    suppressions,
    templates,
    users,
)
from api_shim.console.pages import HOME, Entry, PageEndpoint, operation_of
from api_shim.console.rendering import files
from api_shim.endpoints import routes_of
from api_shim.operations import Call, Operation
from api_shim.replies import Reply
from api_shim.services import Services

_PAGES: Final = (
    *overview.PAGES,
    *messages.PAGES,
    *lanes.PAGES,
    *message.PAGES,
    *campaigns.PAGES,
    *templates.PAGES,
    *suppressions.PAGES,
    *endpoints.PAGES,
    *keys.PAGES,
    *users.PAGES,
    *audit.PAGES,
)
_NAVIGATION: Final = [
    Entry(page.path, page.title, page.scope, page.live_alone) for page in _PAGES if page.title is not None
]
# Their addresses change with them.
_KEPT: Final = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


async def _file(call: Call) -> Reply:
    """A style sheet or a script."""
    found = files().get(call.path("name"))
    if found is None:
        raise problems.not_found("file")
    return Reply(found.content, headers=_KEPT, media_type=found.media_type)


_SHOWN: Final = (*signing.OPERATIONS, *(operation_of(page, _NAVIGATION) for page in _PAGES))
_SERVED: Final = (
    Operation("GET", f"{HOME}/static/{{name}}", _file, summary="What pages load", tag="Console", scope=None),
    *lanes.OPERATIONS,
    *templates.OPERATIONS,
)


def routes(services: Services) -> Sequence[BaseRoute]:
    """One route per path."""
    return [*routes_of(_SERVED, services), *routes_of(_SHOWN, services, PageEndpoint)]
