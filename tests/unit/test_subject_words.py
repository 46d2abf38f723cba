import pytest

from models.subject_words import searchable, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Your weekly Digest!", ["your", "weekly", "digest"]),
        ("100% of order #12-34", ["100", "of", "order", "12", "34"]),
        ("ÄPFEL für Straße", ["äpfel", "für", "strasse"]),
        ("A\u0308pfel", ["äpfel"]),  # the same letter in two characters
        ("\uff46ull width", ["full", "width"]),  # a letter as wide as an ideograph
        ("snake_case e-mail", ["snake", "case", "e", "mail"]),
        ("注文の確認", ["注", "文", "の", "確", "認"]),
        ("%_ — 🎉", []),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words
    assert searchable(text) == (" ".join(words) or None)


def test_no_subject_has_no_words() -> None:
    assert searchable(None) is None


def test_what_is_stored_is_bounded() -> None:
    assert max(map(len, words_of("x" * 100_000))) < 100
    assert len(words_of("word " * 10_000)) < 1_000
