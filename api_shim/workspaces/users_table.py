"""The operations on a workspace's people."""

from typing import Final

from api_shim import problems
from api_shim.workspaces import user_types as types
from api_shim.workspaces import users
from api_shim.workspaces.nouns import Noun
from api_shim.workspaces.paging import PageQuery
from models.vocabulary import Scope

_USERS: Final = Noun("users", "Users", Scope.ADMIN)

OPERATIONS: Final = (
    _USERS.make(
        types.UserRequest,
        types.UserView,
        users.create,
        "Make a person who may sign in to the workspace",
        errors=(problems.CONFLICT,),
    ),
    _USERS.page(PageQuery, types.UserList, users.list_all, "List people, the newest first"),
    _USERS.get("userId", types.UserView, users.get, "Get a person"),
    _USERS.change(
        "PATCH",
        "{userId}",
        types.UserPatch,
        types.UserView,
        users.patch,
        "Change a person's role, or set a password that they have forgotten",
        errors=(problems.CONFLICT, problems.LAST_ADMIN),
    ),
    _USERS.remove(
        "userId",
        users.remove,
        "Take a person out of the workspace; the account goes with its last one",
        errors=(problems.CONFLICT, problems.LAST_ADMIN),
    ),
)
