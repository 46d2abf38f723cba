"""Sandboxes: each workspace has one, in which messages go the whole way and nothing leaves the house.

A sandbox is a workspace of its own, so that nothing in it meets anything of its workspace: no contact, suppression,
count, campaign or idempotency key. Its id is its workspace's with version 8, which RFC 9562, section 5.8, leaves to
whoever makes the id, in the place of 7. So every row says whether it belongs to a sandbox, with nothing to look up and
nothing that could be set or forgotten: a message cannot change its workspace.
"""

from typing import Final
from uuid import UUID

_PLACE: Final = 76  # of the version's four bits (RFC 9562, section 4.2)
_LIVE: Final = 7 << _PLACE
_SANDBOX: Final = 8 << _PLACE
_VERSION: Final = 0xF << _PLACE

VERSION: Final = "8"
"""The version's digit in a sandbox's id."""


def is_sandbox(workspace_id: UUID) -> bool:
    """Whether it is a sandbox: what is sent there goes to built-in peers."""
    return workspace_id.int & _VERSION == _SANDBOX


def sandbox_of(workspace_id: UUID) -> UUID:
    """The id of a workspace's sandbox, made or not; a sandbox's own."""
    return UUID(int=workspace_id.int & ~_VERSION | _SANDBOX)


def live_of(workspace_id: UUID) -> UUID:
    """The workspace whose sandbox it is; any other workspace's own id."""
    return UUID(int=workspace_id.int & ~_VERSION | _LIVE) if is_sandbox(workspace_id) else workspace_id
