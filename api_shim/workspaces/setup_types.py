"""The JSON of journeys in the "workspace" dialect."""

import msgspec

from api_shim.workspaces.paging import Name, Pagination


class NameRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A journey: a name for people."""

    name: Name


class JourneyView(msgspec.Struct, rename="camel"):
    """A journey."""

    id: str
    name: str
    created_at: str


class JourneyList(msgspec.Struct):
    """A page of journeys, the newest first."""

    data: list[JourneyView]
    pagination: Pagination
