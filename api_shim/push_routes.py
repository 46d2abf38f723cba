"""What a site needs for web push: the key that its pages subscribe with, and our part of its service worker."""

from functools import cache
from importlib import resources
from typing import Final

import msgspec

from api_shim import problems
from api_shim.operations import Call, Operation, Reply
from models import ids
from models.store import senders, workspaces
from models.vocabulary import Channel

_TAG: Final = "Web push"
# Any site may read the key and import the script.
_PUBLIC: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}
_SCRIPT: Final = _PUBLIC | {"Cache-Control": "public, max-age=3600"}
# A browser that subscribes with the key of yesterday takes no messages.
_KEY: Final = _PUBLIC | {"Cache-Control": "no-cache"}


class PushKey(msgspec.Struct):
    """``key``: the VAPID public key (RFC 8292), base64url of the uncompressed point.

    ``applicationServerKey`` of ``pushManager.subscribe()`` takes it as it is.
    """

    key: str


async def key(call: Call) -> Reply:
    """The public key that pages subscribe with; raises Problem (404) where there is no such workspace."""
    workspace_id = call.path_id("workspaceId", ids.Kind.WORKSPACE, "workspace")
    async with call.services.database.read() as connection:
        if await workspaces.get(connection, workspace_id) is None:
            raise problems.not_found("workspace")
        own = await senders.of_channel(connection, workspace_id, Channel.PUSH)
    if own:  # its own, paused or not: what browsers subscribe with outlives a pause
        return Reply(PushKey(own[0].hint["vapidPublicKey"]), headers=_KEY)
    return Reply(PushKey((await call.services.vapid()).public_key), headers=_KEY)


async def service_worker(call: Call) -> Reply:
    """The script that the site's own service worker imports."""
    return Reply(_script(), headers=_SCRIPT, media_type="text/javascript; charset=utf-8")


@cache
def _script() -> bytes:
    return resources.files("api_shim").joinpath("static", "sw.js").read_bytes()


OPERATIONS: Final = (
    Operation(
        "GET",
        "/push/{workspaceId}/key",
        key,
        summary="The VAPID public key that a page subscribes to web push with",
        tag=_TAG,
        scope=None,
        responses={200: PushKey},
        errors=(problems.NOT_FOUND,),
    ),
    Operation(
        "GET",
        "/sw.js",
        service_worker,
        summary="What a site's service worker imports: it shows push messages, and reports what becomes of them",
        tag=_TAG,
        scope=None,
        responses={200: str},
        response_media="text/javascript; charset=utf-8",
    ),
)
