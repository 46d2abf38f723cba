"""Long texts in pieces: nothing is lost, nothing is too long, and nothing that belongs together is cut."""

import string
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.telegram_split import split
from channels.telegram_text import Marked, Span, units

FAMILY = "👩‍👩‍👧"
FLAG = "🇦🇹"
_PIECES = st.one_of(
    st.text(alphabet=string.ascii_letters + " .!?\n\r\t", max_size=40),
    st.text(max_size=20),
    st.sampled_from([FAMILY, FLAG, "é", "👍🏽", "ж", "你好。", "\n\n", ". ", " " * 30, "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]),
)
texts = st.lists(_PIECES, max_size=40).map("".join)


@st.composite
def marked_texts(draw: st.DrawFn) -> Marked:
    text = draw(texts)
    places = st.integers(0, len(text))
    ends = draw(st.lists(st.tuples(places, places), max_size=6))
    spans = [Span("bold", min(each), max(each)) for each in ends if each[0] != each[1]]
    return Marked(text, tuple(sorted(spans, key=lambda span: (span.start, -span.end))))


@given(marked_texts(), st.integers(20, 60))
def test_the_pieces_are_the_whole_but_for_blank_ones(marked: Marked, most: int) -> None:
    pieces = split(marked, most)
    left = marked.text
    for piece in pieces:
        assert piece.text.strip()
        assert units(piece.text) <= most
        before, found, left = left.partition(piece.text)
        assert found
        assert not before.strip()
    assert not left.strip()


@given(texts.filter(str.strip), st.integers(20, 60))
def test_no_surrogate_pair_is_cut_and_formatting_stays_with_its_words(text: str, most: int) -> None:
    pieces = split(Marked(text, (Span("italic", 0, len(text)),)), most)
    for piece in pieces:
        piece.text.encode("utf-16-le")
        assert piece.spans == (Span("italic", 0, len(piece.text)),)


@given(st.lists(st.sampled_from([FAMILY, FLAG, "é", "👍🏽", "a"]), min_size=20, max_size=200), st.integers(20, 60))
def test_what_a_reader_sees_as_one_character_is_never_cut(characters: list[str], most: int) -> None:
    left = list(characters)
    for piece in split(Marked("".join(characters)), most):
        built = ""
        while built != piece.text:
            built += left.pop(0)
            assert piece.text.startswith(built)
    assert left == []


@given(st.lists(st.text(string.ascii_letters, min_size=1, max_size=30), max_size=60).map(" ".join), st.integers(20, 60))
def test_two_pieces_in_a_row_would_not_fit_in_one(text: str, most: int) -> None:
    assert all(units(one.text + other.text) > most for one, other in pairwise(split(Marked(text), most)))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("one two three.\n\nfour. five", ["one two three.\n\n", "four. five"]),
        ("one two three\nfour five six", ["one two three\n", "four five six"]),
        ("One two three. Four five", ["One two three. ", "Four five"]),
        ("one two three four five six", ["one two three four ", "five six"]),
        ("a" * 45, ["a" * 20, "a" * 20, "a" * 5]),
        ("好" * 12 + "。" + "好" * 12, ["好" * 12 + "。", "好" * 12]),
    ],
)
def test_where_texts_are_split(text: str, pieces: list[str]) -> None:
    assert [each.text for each in split(Marked(text), 20)] == pieces


def test_spans_go_with_their_pieces() -> None:
    marked = Marked("one two three four five", (Span("text_link", 0, 23, "https://a.example"), Span("bold", 14, 18)))
    first, second = split(marked, 20)
    assert first.spans == (Span("text_link", 0, 19, "https://a.example"), Span("bold", 14, 18))
    assert second.spans == (Span("text_link", 0, 4, "https://a.example"),)
