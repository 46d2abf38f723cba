"""Tokens with which the pages of a site read its visitors' inboxes."""

import time

from api_shim.inbox_types import InboxTokenRequest, InboxTokenView
from api_shim.operations import Call, Reply
from api_shim.workspaces.contacts import fetch_living
from models.inbox_tokens import Grant
from models.timestamps import show


async def create(call: Call, request: InboxTokenRequest) -> Reply:
    """A token for the path's contact."""
    contact = await fetch_living(call)
    ends_at = int(time.time()) + request.ttl
    token = (await call.services.keyring()).inbox_tokens.make(Grant(contact.id, ends_at))
    view = InboxTokenView(token=token, expires_at=show(ends_at * 1000))
    return Reply(view, headers={"Cache-Control": "no-store"})
