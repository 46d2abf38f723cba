import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.plain_text import html_to_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("<div>One</div><div>Two<br>Three</div>", "One\n\nTwo\nThree"),
        ("a\n  b\t<b>c</b>", "a b c"),
        ("<html><head><title>T</title><style>p{}</style></head><body>Hi<script>x()</script></body>", "Hi"),
        ("<ul><li>One</li><li>Two</li></ul>", "- One\n\n- Two"),
        ('<a href="https://example.org/x?a=1&amp;b=2">Go</a>', "Go (https://example.org/x?a=1&b=2)"),
        ('<a href="https://example.org">https://example.org</a>', "https://example.org"),
        ('<a href="mailto:a@example.org">a@example.org</a> <a href="#top">Top</a>', "a@example.org Top"),
        ('<a href="https://example.org"><img src="x" alt="Logo"></a>', "Logo (https://example.org)"),
        ('<a href="https://example.org"><img src="x"></a>', "https://example.org"),
        ("Fish &amp; chips &lt;3 &eacute;", "Fish & chips <3 é"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\n\nc"),
        ("1 < 2 <!-- never --> 3", "1 < 2 3"),
        ("</a></style>Hi<a>", "Hi"),
        ("<a title=\"1 > 2\" href = 'x'>Go</a>", "Go (x)"),
        ("<a href=it's/>Go</a> <b title='y'>on</b>", "Go (it's/) on"),
        ("<A HREF=x href=y>One<a href=z>Two</a> three", "One (x)Two (z) three"),
        ("<a href=x>never closed", "never closed (x)"),
        ("<a href='/x\n?a&#10;b'>Go</a>", "Go (/x ?a b)"),
        ("a<script>if (a<b) '</p>'; x = \"'\"</script >b<STYLE>p{}</style>c", "abc"),
        ("<!--[if mso]><p>Outlook</p><![endif]-->a<!--[if !mso]><!-->b<!--<![endif]--><!-->c", "abc"),
        ("<!doctype html><?xml?></ x>a</>b", "ab"),
        ("a <b and c", "a <b and c"),
        ('a <b title="never <i>closed</i>', 'a <b title="never closed'),
        ("a <!-- never <i>closed</i>", "a <!-- never closed"),
        ("<titles>kept</titles><title>gone</title>", "kept"),
        ("a&#10;&#10;&#10;b&nbsp;c", "a b\xa0c"),
        (f"a&#{'9' * 5000};b", "a\ufffdb"),
        ("<p> a </p> <br> \n <p> b", "a\n\nb"),
    ],
)
def test_what_a_reader_sees_is_kept(html: str, text: str) -> None:
    assert html_to_text(html) == text


@given(st.text())
def test_any_text_is_read(html: str) -> None:
    text = html_to_text(html)
    assert "\n\n\n" not in text
    assert html_to_text("<p>" + "x" + "</p>") == "x"


@pytest.mark.parametrize("html", ["<p>a</p><![foo[>b", "a<![if x]b<b>c</b>", "<![", "<!doctype [", "<![CDATA[x"])
def test_no_malformed_text_breaks_it(html: str) -> None:
    assert isinstance(html_to_text(html), str)


def test_what_follows_a_malformed_section_is_kept() -> None:
    assert "over there" in html_to_text("<p>here</p><![foo[> over <b>there</b>")


MIB = 1 << 20
HOSTILE = ["<a ", "<!--", "<title", "<title>", '<a href="', "<a href=x>y", '<a" x="', "<", "<!-- -", "<script <"]


def seconds(source: str) -> float:
    begun = time.process_time()
    html_to_text(source)
    return time.process_time() - begun


@pytest.mark.parametrize("shape", HOSTILE)
def test_a_hostile_text_takes_no_more_time_than_its_length(shape: str) -> None:
    assert seconds(shape * (MIB // len(shape))) < 5


@pytest.mark.parametrize("opening", ["<a ", "<!-- ", '<a href="', "<title>"])
@pytest.mark.parametrize("shape", [*HOSTILE, "<a =\"'>", "</", "<![", "<p>", "<img alt=", "&#9", "\n", "<b <", '= "'])
def test_what_is_never_closed_makes_no_shape_slow(opening: str, shape: str) -> None:
    assert seconds(opening + shape * (MIB // 8 // len(shape))) < 2


def test_nested_links_take_no_more_time_than_their_length() -> None:
    source = "<a href=x>y" * 50_000 + "</a>" * 50_000
    assert html_to_text(source) == "y (x)" * 50_000
    assert seconds(source) < 5
