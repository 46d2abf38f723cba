import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest

from api_shim import problems
from api_shim.problems import Problem
from api_shim.workspaces.batches import BATCH_MESSAGES, split
from channels.json_arrays import TooManyItems, raw_items

NDJSON = "application/x-ndjson; charset=utf-8"
MANY = 1_000_000


def refusal(body: bytes, content_type: str) -> problems.ProblemType:
    with pytest.raises(Problem) as caught:
        split(body, content_type)
    return caught.value.type


def memory_of(function: Callable[[], object]) -> int:
    """The most bytes that it held at once."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_items_of_an_array_are_kept_as_they_are_written() -> None:
    body = b' [ {"a": "]},"} , 5,null,[1, [2]],"\xff" ] '
    assert split(body, "application/json") == [b'{"a": "]},"}', b"5", b"null", b"[1, [2]]", b'"\xff"']
    assert split(b"[]", "") == []


def test_lines_with_and_without_words() -> None:
    assert split(b'\n\r\n {"a":1}\r\n\n\n \t\n5\n{"b":', NDJSON) == [b'{"a":1}\r', b"5", b'{"b":']
    assert split(b"", NDJSON) == split(b" \n" * 1000, NDJSON) == []


@pytest.mark.parametrize(
    ("count", "kind"), [(BATCH_MESSAGES, None), (BATCH_MESSAGES + 1, problems.TOO_LARGE), (MANY, problems.TOO_LARGE)]
)
def test_a_batch_has_ten_thousand_items_at_most(count: int, kind: problems.ProblemType | None) -> None:
    forms = ((b"[" + b"1," * (count - 1) + b"1]", ""), (b"1\n" * count, NDJSON))
    for body, content_type in forms:
        if kind is None:
            assert split(body, content_type) == [b"1"] * count
        else:
            assert refusal(body, content_type) is kind


@pytest.mark.parametrize(
    "body", [b"{}", b"5", b"", b"[", b"[1,", b"[1]]", b"\xff", b"[" * 100_000], ids=lambda b: b[:8]
)
def test_what_is_no_array(body: bytes) -> None:
    assert refusal(body, "application/json").status == 400


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"[" + b"1," * MANY + b"1]", ""), (b"1\n" * MANY, NDJSON), (b"\n" * MANY, NDJSON)],
    ids=["array", "lines", "empty lines"],
)
def test_a_flood_of_items_costs_no_memory(body: bytes, content_type: str) -> None:
    split(b"[]", "")  # what is made once

    def read() -> None:
        with suppress(Problem):
            split(body, content_type)

    assert memory_of(read) < len(body) + (1 << 20)


def test_a_limit_of_items() -> None:
    assert raw_items(b"[1,2]", 2) == [b"1", b"2"]
    with pytest.raises(TooManyItems):
        raw_items(b"[1,2,3]", 2)
