"""The JSON of API keys in the "workspace" dialect."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_shim.workspaces.paging import Moment, Name, Pagination
from models.vocabulary import Scope

_SCOPES = Annotated[list[Scope], Meta(min_length=1, max_length=50)]


class KeyRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """An API key. Without ``scopes`` it gets every scope of the key that makes it, but ``essential``.

    ``test``: of the workspace's sandbox, in which messages go the whole way to built-in peers that answer by address.
    It has contacts, templates and all else of its own. A test key can make no other.
    """

    name: Name
    scopes: _SCOPES | None = None
    expires_at: Moment | None = None
    test: bool = False


class KeyPatch(msgspec.Struct, forbid_unknown_fields=True):
    """What is to change of a key. Scopes that it does not have yet must be among those of who asks."""

    name: Name | UnsetType = UNSET
    scopes: _SCOPES | UnsetType = UNSET


class KeyView(msgspec.Struct, rename="camel", kw_only=True):
    """An API key. ``token`` is shown once, when it is made; ``hint`` is how it ends.

    ``test``: of the workspace's sandbox. ``lastUsedAt`` is noted at most every five minutes.
    """

    id: str
    test: bool
    name: str
    hint: str
    scopes: list[Scope]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    token: str | UnsetType = UNSET


class KeyList(msgspec.Struct):
    """A page of keys, the newest first."""

    data: list[KeyView]
    pagination: Pagination
