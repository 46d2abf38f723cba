"""The examples of the OpenAPI document: one file of JSON per tag of the table of operations, by operation id.

Tests hold that each operation has one, that it fits the types that validate, and that a real server answers it so.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import msgspec

_PATHS: Final = "_path.json"


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request and its answers by status, as JSON.

    ``request`` stands for a body of the operation's own media type; text where that is not JSON. ``needs`` says what
    must have happened before, where a fresh workspace would answer something else.
    """

    query: Mapping[str, str | int | bool] = {}
    headers: Mapping[str, str] = {}
    request: Any = None
    responses: Mapping[int, Any] = {}
    needs: str = ""


@cache
def in_paths() -> Mapping[str, str]:
    """A value for every part of a path, by its name."""
    return msgspec.json.decode(_files()[_PATHS], type=dict[str, str])


@cache
def by_tag() -> Mapping[str, Mapping[str, Example]]:
    """The examples by the name of their file, which is the tag in lower case with ``-`` for other characters."""
    return {
        name.removesuffix(".json"): msgspec.json.decode(content, type=dict[str, Example])
        for name, content in _files().items()
        if name != _PATHS
    }


@cache
def examples() -> Mapping[str, Example]:
    """The example of each operation id."""
    return {operation_id: example for area in by_tag().values() for operation_id, example in area.items()}


def _files() -> Mapping[str, bytes]:
    folder = resources.files("api_shim.examples")
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.name.endswith(".json")}
