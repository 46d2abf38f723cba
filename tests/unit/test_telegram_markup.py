"""Markup that is read before a text is split: as Telegram reads it, and in its words where it cannot be read."""

import html
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channels.rendering import escape_markdown
from channels.telegram_html import MarkupError, parse_html
from channels.telegram_markdown import parse_markdown
from channels.telegram_text import Marked, Span, units
from tests.support import bot_api

Entity = tuple[str, int, int, str]
words = st.text(min_size=1, max_size=12)


def _as_sent(marked: Marked) -> tuple[str, set[Entity]]:
    """Offsets and lengths in UTF-16 units."""
    found = set()
    for span in marked.spans:
        offset = units(marked.text[: span.start])
        found.add((span.kind, offset, units(marked.text[: span.end]) - offset, span.argument))
    return marked.text, found


def _html_of(tree: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    inner = st.lists(tree, max_size=3).map("".join)
    tags = st.sampled_from(["b", "i", "u", "s", "strong", "em", "tg-spoiler", "blockquote"])
    return st.tuples(tags, inner).map(lambda each: f"<{each[0]}>{each[1]}</{each[0]}>")


def _markdown_of(tree: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    inner = st.lists(tree, min_size=1, max_size=3).map("".join)
    return st.tuples(st.sampled_from(["*", "~", "||"]), inner).map(lambda each: f"{each[0]}{each[1]}{each[0]}")


@given(st.lists(st.recursive(words.map(html.escape), _html_of, max_leaves=8), max_size=4).map("".join))
def test_html_is_read_as_another_parser_reads_it(source: str) -> None:
    text, entities = bot_api.parse("HTML", source)
    assert _as_sent(parse_html(source)) == (text, set(entities))


@given(st.lists(words, max_size=6))
def test_what_was_escaped_comes_back(pieces: list[str]) -> None:
    text = "".join(pieces)
    bold = (Span("bold", 0, len(text)),) if text else ()
    assert parse_html(f"<b>{html.escape(text)}</b>") == Marked(text, bold)
    if "\n" not in text:
        assert parse_markdown(f"*{escape_markdown(text)}*") == Marked(text, bold)


@pytest.mark.parametrize(
    ("source", "marked"),
    [
        ("<B>x</b >", Marked("x", (Span("bold", 0, 1),))),
        ("a&lt;b&#62;&#x1F44D;&amp;&nbsp;&", Marked("a<b>👍&&nbsp;&")),
        (
            '<a href="https://a.example/?x=1&amp;y=2">x</a>',
            Marked("x", (Span("text_link", 0, 1, "https://a.example/?x=1&y=2"),)),
        ),
        ("<a href='tg://user?id=42'>x</a>", Marked("x", (Span("text_mention", 0, 1, "42"),))),
        ("<a>a.example</a>", Marked("a.example", (Span("text_link", 0, 9, "a.example"),))),
        ("<a href='no link'>x</a>", Marked("x")),
        ('<span class="tg-spoiler">x</span>', Marked("x", (Span("spoiler", 0, 1),))),
        ('<pre><code class="language-python">x</code></pre>', Marked("x", (Span("pre", 0, 1, "python"),))),
        ("<code>x</code>", Marked("x", (Span("code", 0, 1),))),
        ("<blockquote expandable>x</blockquote>", Marked("x", (Span("expandable_blockquote", 0, 1),))),
        (
            '<tg-emoji emoji-id="5368324170671202286">👍</tg-emoji>',
            Marked("👍", (Span("custom_emoji", 0, 1, "5368324170671202286"),)),
        ),
        ("<b></b>x", Marked("x")),
    ],
)
def test_html(source: str, marked: Marked) -> None:
    assert parse_html(source) == marked


@pytest.mark.parametrize(
    ("source", "marked"),
    [
        (
            "*a* _b_ __c__ ~d~ ||e||",
            Marked(
                "a b c d e",
                tuple(
                    Span(kind, at, at + 1)
                    for at, kind in [(0, "bold"), (2, "italic"), (4, "underline"), (6, "strikethrough"), (8, "spoiler")]
                ),
            ),
        ),
        (r"[x](https://a.example/\)y)", Marked("x", (Span("text_link", 0, 1, "https://a.example/)y"),))),
        ("`a*b` ", Marked("a*b ", (Span("code", 0, 3),))),
        ("```python\nx = 1\n```", Marked("x = 1\n", (Span("pre", 0, 6, "python"),))),
        (">a\n>b\nc", Marked("a\nb\nc", (Span("blockquote", 0, 3),))),
        ("**>a\n>b||\nc", Marked("a\nb\nc", (Span("expandable_blockquote", 0, 3),))),
        (
            "![👍](tg://emoji?id=5368324170671202286)",
            Marked("👍", (Span("custom_emoji", 0, 1, "5368324170671202286"),)),
        ),
        (r"1\.5 \* \\", Marked("1.5 * \\")),
    ],
)
def test_markdown(source: str, marked: Marked) -> None:
    assert parse_markdown(source) == marked


@pytest.mark.parametrize(
    ("parse", "source", "said"),
    [
        (parse_html, "é<x>y</x>", 'Unsupported start tag "x" at byte offset 2'),
        (parse_html, "a < b", 'Unsupported start tag "" at byte offset 2'),
        (parse_html, "<b>x", "Can't find end tag corresponding to start tag b"),
        (parse_html, "<b>x</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        (parse_html, "x</b>", "Unexpected end tag at byte offset 1"),
        (parse_html, "<b", "Unclosed start tag at byte offset 0"),
        (parse_html, "<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        (parse_markdown, "1.5", "Character '.' is reserved and must be escaped with the preceding '\\'"),
        (parse_markdown, "é*x", "Can't find end of Bold entity at byte offset 2"),
        (parse_markdown, "[x](y", "Can't find end of a URL at byte offset 4"),
    ],
)
def test_what_cannot_be_read(parse: Callable[[str], Marked], source: str, said: str) -> None:
    with pytest.raises(MarkupError) as caught:
        parse(source)
    assert str(caught.value) == said


@given(
    st.lists(st.sampled_from(["*", "~", "_", "__", "||", "`", "a", " ", "[", "](x)", "\\*", "."]), max_size=12).map(
        "".join
    )
)
@example("`*```")
@example("`a````")
@example("`a````````")
def test_markdown_is_read_or_refused_as_another_parser_does(source: str) -> None:
    try:
        text, entities = bot_api.parse("MarkdownV2", source)
    except bot_api.Refused:
        with pytest.raises(MarkupError):
            parse_markdown(source)
    else:
        plain, spans = _as_sent(parse_markdown(source))
        assert plain == text
        assert spans == {each for each in entities if each[0] != "text_link"}


@given(st.text(alphabet="<>/abi&;#'\"= \n", max_size=30))
def test_no_html_breaks_the_reader(source: str) -> None:
    try:
        marked = parse_html(source)
    except MarkupError:
        return
    assert all(0 <= span.start < span.end <= len(marked.text) for span in marked.spans)
