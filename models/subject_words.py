"""The words of a subject, as a search compares them: in one form on every database and in every language.

Letters and digits alone, without case (Unicode's folding, after NFKC), separated by single spaces. Scripts without
spaces give a word per character, so that a search for several of them in a row finds them inside a sentence.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

# Kana and CJK ideographs, one by one; of everything else the longest runs of letters and digits.
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
_ASCII_WORD: Final = re.compile(r"[a-z0-9]+")
# More than a subject holds that a person reads; and a key of an index has its greatest length.
_MOST_WORDS: Final = 200
_LONGEST_WORD: Final = 60


def words_of(text: str) -> list[str]:
    """The words, in their order."""
    if text.isascii():  # as most subjects are, which have nothing to normalise
        folded, word = text.lower(), _ASCII_WORD
    else:
        folded, word = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()), _WORD
    words: list[str] = word.findall(folded)
    if len(folded) <= _LONGEST_WORD:
        return words
    return [each[:_LONGEST_WORD] for each in words[:_MOST_WORDS]]


@lru_cache(maxsize=1024)  # the messages of a campaign say the same
def searchable(subject: str | None) -> str | None:
    """What is stored beside a subject; None where there is nothing to find."""
    return " ".join(words_of(subject)) or None if subject else None
