"""Hostile HTML through the sanitiser, judged by what a parser finds in the result."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import pytest

from channels.sanitise import MOST_TAGS, check_web_url, harmless
from tests.support.html_seen import Seen

ALLOWED: Final = {
    *("a", "b", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "i", "ins", "li", "mark", "ol"),
    *("p", "pre", "s", "small", "strong", "sub", "sup", "u", "ul"),
}

_ELEMENTS: Final = (
    *("script", "svg", "img", "iframe", "object", "embed", "video", "audio", "source", "math", "style", "link"),
    *("meta", "base", "form", "input", "button", "select", "textarea", "marquee", "body", "html", "details"),
    *("isindex", "keygen", "applet", "frameset", "layer", "template", "noscript", "title", "xmp", "plaintext"),
)
_HANDLERS: Final = (
    *("onload", "onerror", "onclick", "onfocus", "onmouseover", "ontoggle"),
    *("onanimationstart", "onpointerenter", "onbegin", "onwheel", "onstart"),
)
_URLS: Final = (
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "java\nscript:alert(1)",
    "\x01javascript:alert(1)",
    "&#106;avascript:alert(1)",
    "&#x6A;&#x61;vascript:alert(1)",
    "javascript&colon;alert(1)",
    "java&Tab;script:alert(1)",
    "java&NewLine;script:alert(1)",
    "vbscript:msgbox(1)",
    "data:text/html,<script>alert(1)</script>",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "feed:javascript:alert(1)",
    "view-source:javascript:alert(1)",
    "jar:javascript:alert(1)",
    "blob:https://example.org/1",
    "file:///etc/passwd",
    "filesystem:https://example.org/a",
    "//example.org/a",
    "/relative",
    "?query",
    "#fragment",
    "javascript://example.org/%0aalert(1)",
    "\\\\example.org\\a",
)
_TRICKS: Final = (
    "<scr<script>ipt>alert(1)</script>",
    "<<script>alert(1)//<</script>",
    "<script/src=data:,alert(1)>",
    "<img src=x:alert(1) onerror=eval(src)>",
    '<img """><script>alert(1)</script>">',
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><a xlink:href=javascript:alert(1)><text x=20 y=20>x</text></a>",
    "<svg><set attributeName=href to=javascript:alert(1)></set></svg>",
    "<svg><foreignObject><iframe srcdoc='<script>alert(1)</script>'></foreignObject></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<svg></p><style><a id='</style><img src=1 onerror=alert(1)>'>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<template><script>alert(1)</script></template>",
    "<title><img src=x onerror=alert(1)></title>",
    "<textarea><img src=x onerror=alert(1)></textarea>",
    "<xmp><img src=x onerror=alert(1)></xmp>",
    "<plaintext><script>alert(1)</script>",
    "<!--><script>alert(1)</script>-->",
    "<!--[if gte IE 4]><script>alert(1)</script><![endif]-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml-stylesheet href='javascript:alert(1)'?><p>x",
    "<p style='background:url(javascript:alert(1))'>x</p>",
    '<p style="width:expression(alert(1))">x</p>',
    "<p class=x id=cookie name=body>x</p>",
    "<b onmouseover=alert(1)>x</b>",
    "<b\x0conclick=alert(1)>x</b>",
    "<b/onclick=alert(1)>x</b>",
    "<a href='https://example.org' onclick='alert(1)'>x</a>",
    "<a href='https://example.org\" onclick=\"alert(1)'>x</a>",
    "<a href=https://example.org target=_top rel=opener>x</a>",
    "<a href='https://example.org' ping='https://spy.example.org'>x</a>",
    "<a title='<img src=x onerror=alert(1)>'>x</a>",
    "<p title='\"><img src=x onerror=alert(1)>'>x</p>",
    "<table background='javascript:alert(1)'><tr><td>x</table>",
    "<link rel=stylesheet href=https://example.org/x.css>",
    "<base href='javascript:alert(1)//'>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<button form=x formaction=javascript:alert(1)>x</button>",
    "<x-custom onclick=alert(1)>x</x-custom>",
    "<slot onslotchange=alert(1)></slot>",
    "\ufeff<script>alert(1)</script>",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "<b>" * 300 + "x",
    "</p></div></body></html><script>alert(1)</script>",
    '<a href="https://example.org/?a=1&b=\'">x</a>',
)


def _hostile() -> Iterator[str]:
    yield from _TRICKS
    for element in _ELEMENTS:
        yield f"<{element} src=javascript:alert(1) onload=alert(1)>alert(1)</{element}>"
        yield f"<p><{element.upper()}/onerror=alert(1)//"
    for handler in _HANDLERS:
        yield f"<p {handler}=alert(1)>x</p>"
        yield f"<a href='https://example.org' {handler.upper()}='alert(1)'>x</a>"
    for url in _URLS:
        yield f'<a href="{url}">x</a>'
        yield f"<img src='{url}'>"


HOSTILE: Final = list(_hostile())


def test_there_are_many() -> None:
    assert len(set(HOSTILE)) > 150


@pytest.mark.parametrize("source", HOSTILE)
def test_nothing_of_it_runs_or_loads(source: str) -> None:
    seen = Seen.of(harmless(source))
    for tag, attributes in seen.tags:
        assert tag in ALLOWED
        assert set(attributes) <= {"dir", "lang", "title"} | ({"href", "rel", "target"} if tag == "a" else set())
        if tag == "a":
            assert (attributes["rel"], attributes["target"]) == ("noopener noreferrer", "_blank")
        if "href" in attributes:
            url = urlsplit(attributes["href"])
            assert url.scheme in {"http", "https", "mailto"}
            assert url.scheme == "mailto" or url.hostname


@pytest.mark.parametrize("source", HOSTILE)
def test_what_is_harmless_stays_as_it_is(source: str) -> None:
    once = harmless(source)
    assert harmless(once) == once


def test_what_people_write_stays() -> None:
    body = (
        "<h3>Order</h3><p>It <strong>comes</strong> <em>soon</em>:<br>"
        "<code>47</code></p><ul><li>one</li></ul><blockquote>so</blockquote>"
    )
    assert harmless(body) == body
    (link,) = Seen.of(harmless("<a href='mailto:ann@example.org'>write</a>")).tags
    assert link == ("a", {"href": "mailto:ann@example.org", "target": "_blank", "rel": "noopener noreferrer"})


def test_too_many_tags_are_refused() -> None:
    assert harmless("<b>" * MOST_TAGS)
    with pytest.raises(ValueError, match="more than 2,000 tags"):
        harmless("<b>" * (MOST_TAGS + 1))


@pytest.mark.parametrize("url", ["https://www.example.org/a?b=c#d", "http://[::1]:8080/", "https://ä.example.org/"])
def test_web_urls(url: str) -> None:
    assert check_web_url(url) == url


@pytest.mark.parametrize(
    "url", [*_URLS, "", "https://", "https:example.org", "https://a b.example.org", "mailto:a@b.org"]
)
def test_what_is_no_web_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|holds) ") as refused:
        check_web_url(url)
    assert not url or url not in str(refused.value)
