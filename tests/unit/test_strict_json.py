import pytest

from api_shim.problems import Problem
from api_shim.strict_json import check_strictness, malformed, pointer_to


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        (b'{"a": {"b": 1, "b": 2}}', "#/a/b"),
        (b'{"a": [1, {"c": "x\\u0000"}]}', "#/a/1/c"),
        (b'{"a": {"x\\u0000": 1}}', "#/a"),
        (b'{"a~b/c": "\\u0000"}', "#/a~0b~1c"),
        (b'{"a": {"n": ' + b"9" * 100_000 + b"}}", "#/a/n"),
    ],
    ids=["twice", "NUL", "NUL in a name", "a name to be escaped", "digits"],
)
def test_what_no_document_may_hold_is_found_at_its_place(raw: bytes, pointer: str) -> None:
    with pytest.raises(Problem) as raised:
        check_strictness(raw)
    (error,) = raised.value.body.errors
    assert error.pointer == pointer
    assert error.detail


@pytest.mark.parametrize(
    ("steps", "pointer"),
    [
        (("a/b", 1, "m~n"), "#/a~1b/1/m~0n"),
        (("c%d", "e^f", "g|h", 'k"l', " "), "#/c%25d/e%5Ef/g%7Ch/k%22l/%20"),
        (("$.[*]", "é", "\ud83d"), "#/$.%5B*%5D/%C3%A9/?"),
        ((), "#"),
    ],
    ids=["escaped", "not of a URI", "beyond ASCII", "the whole"],
)
def test_a_pointer_is_a_fragment(steps: tuple[str | int, ...], pointer: str) -> None:
    assert pointer_to(steps) == pointer


def test_half_of_a_surrogate_pair_is_found_and_a_whole_one_is_not() -> None:
    (error,) = malformed(b'{"a": "\\ud83d\\ude00", "b": "\\ud83d"}', "unread").body.errors
    assert error.pointer == "#/b"


def test_what_is_found_nowhere_is_told_as_the_decoder_told_it() -> None:
    assert malformed(b'{"a": ', "cut off").body.detail == "cut off"


def test_a_name_that_is_no_text_of_ours_ends_the_pointer() -> None:
    with pytest.raises(Problem) as raised:
        check_strictness(b'{"a": {"' + b"n" * 5_000 + b'": "\\u0000"}}')
    assert raised.value.body.errors[0].pointer == "#/a"


@pytest.mark.parametrize("raw", [b"[" * 33 + b"]" * 33, b'{"a":' * 33 + b"1" + b"}" * 33, b"[" * 5_000 + b"]" * 5_000])
def test_deep_nests_are_refused(raw: bytes) -> None:
    with pytest.raises(Problem, match="malformed-json"):
        check_strictness(raw)


def test_an_ordinary_document_passes() -> None:
    check_strictness(b'{"a": [{"b": "\\u00e9"}, {"b": null}], "c": ' + b"[" * 31 + b"]" * 31 + b"}")
