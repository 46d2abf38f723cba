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
    ],
)
def test_what_a_reader_sees_is_kept(html: str, text: str) -> None:
    assert html_to_text(html) == text


@given(st.text())
def test_any_text_is_read(html: str) -> None:
    text = html_to_text(html)
    assert "\n\n\n" not in text
    assert html_to_text("<p>" + "x" + "</p>") == "x"
