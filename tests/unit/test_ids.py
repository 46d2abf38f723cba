"""Ids: shown and read back, in both dialects."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import ids
from models.ids import DIALECT_B, Kind

uuids = st.integers(0, 2**128 - 1).map(lambda number: UUID(int=number))


@given(st.sampled_from(Kind), uuids)
def test_what_is_shown_is_read_back(kind: Kind, value: UUID) -> None:
    assert ids.parse(kind, ids.show(kind, value)) == value


@given(st.sampled_from(sorted(DIALECT_B)), uuids)
def test_the_other_dialect_names_the_same(kind: Kind, value: UUID) -> None:
    assert ids.parse(kind, f"{DIALECT_B[kind]}_{ids.encode(value)}") == value


@given(uuids, uuids)
def test_text_sorts_as_the_ids_do(one: UUID, other: UUID) -> None:
    assert (ids.encode(one) < ids.encode(other)) == (one.int < other.int)


def test_a_known_id() -> None:
    value = UUID("ffffffff-ffff-ffff-ffff-ffffffffffff")
    assert ids.show(Kind.MESSAGE, value) == "msg_7zzzzzzzzzzzzzzzzzzzzzzzzz"
    assert ids.show(Kind.CONTACT, UUID(int=32)) == "ct_00000000000000000000000010"


def test_new_ids_are_version_7_and_ascend() -> None:
    made = [ids.new_id() for _ in range(1_000)]
    assert {value.version for value in made} == {7}
    assert made == sorted(made)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "msg",
        "msg_",
        "00000000000000000000000010",
        "ct_00000000000000000000000010",
        "msg_0000000000000000000000001",
        "msg_000000000000000000000000010",
        "msg_80000000000000000000000000",
        "msg_0000000000000000000000001L",
        "msg_0000000000000000000000001l",
        "msg_0000000000000000000000001 ",
        "MSG_00000000000000000000000010",
        "msg_0000000000000000000000001\N{ARABIC-INDIC DIGIT ONE}",
        "msg_\ud80000000000000000000000000010"[:30],
    ],
)
def test_any_other_string_is_no_id(text: str) -> None:
    assert ids.parse(Kind.MESSAGE, text) is None


@given(st.text())
def test_no_string_breaks_the_reader(text: str) -> None:
    value = ids.parse(Kind.MESSAGE, text)
    assert value is None or ids.encode(value) == text.partition("_")[2]
