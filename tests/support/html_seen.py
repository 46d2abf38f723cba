"""HTML as a parser sees it: every tag with its attributes, and the words between them."""

from html.parser import HTMLParser
from typing import Self


class Seen(HTMLParser):
    """``tags``: (name, attributes), in their order. ``words``: the texts, and those of the attributes ``title``."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []

    @classmethod
    def of(cls, html: str) -> Self:
        """What ``html`` holds."""
        seen = cls()
        seen.feed(html)
        seen.close()
        return seen

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        if "title" in given:
            self.words.append(f"[{given['title']}]")

    def handle_data(self, data: str) -> None:
        self.words.append(data)
