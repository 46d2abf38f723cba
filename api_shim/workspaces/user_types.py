"""The JSON of a workspace's people."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_shim.auth_routes import NewPassword
from api_shim.workspaces.paging import Pagination
from models.vocabulary import Role

_Role = Annotated[Role, Meta(description="`admin`: every scope; `member`: every scope but `admin` and `essential`.")]


class UserRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A person who may sign in to this workspace. They change the password that you hand them to one of their own."""

    email: Annotated[str, Meta(max_length=320)]
    password: NewPassword
    role: _Role = Role.MEMBER


class UserPatch(msgspec.Struct, forbid_unknown_fields=True):
    """What is to change of a person. A new password ends all their sessions."""

    role: _Role | UnsetType = UNSET
    password: NewPassword | UnsetType = UNSET


class UserView(msgspec.Struct, rename="camel"):
    """A person of the workspace."""

    id: str
    email: str
    role: Role
    created_at: str


class UserList(msgspec.Struct):
    """A page of people, the newest first."""

    data: list[UserView]
    pagination: Pagination
