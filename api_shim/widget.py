"""The script that shows an inbox on any page: ``<script src="…/widget.js" data-token="…" async></script>``."""

from functools import cache
from importlib import resources
from typing import Final

from api_shim.operations import Call, Operation, Reply

_JAVASCRIPT: Final = "text/javascript; charset=utf-8"
# Any site may load it, also one that isolates itself (Cross-Origin-Embedder-Policy).
_PUBLIC: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "public, max-age=3600",
    "X-Content-Type-Options": "nosniff",
}


async def widget(call: Call) -> Reply:
    """The script; it finds the inbox API beside itself."""
    return Reply(_script(), headers=_PUBLIC, media_type=_JAVASCRIPT)


@cache
def _script() -> bytes:
    return resources.files("api_shim").joinpath("static", "widget.js").read_bytes()


OPERATIONS: Final = (
    Operation(
        "GET",
        "/widget.js",
        widget,
        summary="What a page loads to show an inbox: a bell with the number of unread items, and their list",
        tag="In-app inbox",
        scope=None,
        responses={200: str},
        response_media=_JAVASCRIPT,
    ),
)
