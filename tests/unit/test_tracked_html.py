"""Links of HTML mails that lead through us: which ones, where to, and that nothing else is touched."""

import html
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email import message_from_bytes, policy
from html.parser import HTMLParser
from time import process_time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from channels.contract import Content
from channels.mime import Mail, Tracking
from channels.rendering import Text, Texts
from channels.tracked_html import TrackedHtml, unescape_attribute, web_target
from models.ids import new_id
from models.tokens import Links, Purpose
from tests.support.envelopes import PUBLIC_URL, TOKENS

DATE = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
LINKS = Links(TOKENS, PUBLIC_URL, new_id(), 1)
CLICK = re.compile(rf"{re.escape(PUBLIC_URL)}/t/c/([A-Za-z0-9_-]+)")
PIXEL = re.compile(r'<img src="[^"]*/t/o/[A-Za-z0-9_-]+" width="1" height="1" alt="" style="[^"]*">')
SHOP = "https://shop.example.org"


def tracked(
    source: str, variables: Mapping[str, str] | None = None, *, opens: bool = False, clicks: bool = True
) -> str:
    """The HTML for one recipient."""
    text = Text(source, escape=html.escape)
    read = TrackedHtml(text.pieces)
    pieces = read.pieces(opens=opens, clicks=clicks)
    values = {**(variables or {}), **read.values(LINKS, variables or {}, opens=opens, clicks=clicks)}
    return "".join([html.escape(values.get(each, "")) if place % 2 else each for place, each in enumerate(pieces)])


def targets(source: str, variables: Mapping[str, str] | None = None) -> list[str | None]:
    """Where the links of a tracked text lead to, each found again by the number in its token."""
    read = TrackedHtml(Text(source, escape=html.escape).pieces)
    found = []
    for token in CLICK.findall(tracked(source, variables)):
        ref = TOKENS.read(Purpose.CLICK, token)
        assert ref is not None
        found.append(read.target(ref.link, variables or {}))
    return found


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (f'<a href="{SHOP}/?a=1&amp;b=2">x</a>', [f"{SHOP}/?a=1&b=2"]),
        (f'<a href="{SHOP}/?a=1&copy=2&lt=3">x</a>', [f"{SHOP}/?a=1&copy=2&lt=3"]),
        (f"<A CLASS=z HREF='{SHOP}'>x</A>", [SHOP]),
        (f"<a href={SHOP}/a?b=c>x</a>", [f"{SHOP}/a?b=c"]),
        (f'<a\n title = "a > b"\n href = "\n{SHOP}/a\tb ">x</a>', [f"{SHOP}/ab"]),
        (f'<area shape=rect href="{SHOP}/map">', [f"{SHOP}/map"]),
        (f'<a href="{SHOP}/1" href="{SHOP}/2">the first counts</a>', [f"{SHOP}/1"]),
        (f'<a data-href="{SHOP}" href="HTTP://Shop.example.org/é d">x</a>', ["http://shop.example.org/%C3%A9%20d"]),
        (f'<a href="{SHOP}/%7Ea?s=%2C+%20">to the letter</a>', [f"{SHOP}/%7Ea?s=%2C+%20"]),
        (f"<!--[if !mso]><!--><a href='{SHOP}'>x</a><!--<![endif]-->", [SHOP]),
        (f'<p title="<a href=&quot;"><a href="{SHOP}">x</a>', [SHOP]),
        (f'<title><a href="{SHOP}/no"></title ><a href="{SHOP}/yes">', [f"{SHOP}/yes"]),
        (f'<!-- > <a href="{SHOP}/no"> --!><a href="{SHOP}/yes">', [f"{SHOP}/yes"]),
        (f'<?php > <a href="{SHOP}/yes"></a/ x="<a href="{SHOP}/no">"><br/>', [f"{SHOP}/yes"]),
    ],
)
def test_a_link_of_the_web_is_led_through_us_and_leads_on(source: str, wanted: list[str]) -> None:
    assert targets(source) == wanted


@pytest.mark.parametrize(
    "source",
    [
        '<a href="mailto:ann@example.org">x</a><a href="tel:+15550100">x</a><a href="#top">x</a><a href="/rel">x</a>',
        '<a href="javascript:alert(1)">x</a><a href=" java\nscript:alert(1)//http://x">x</a>',
        '<a href="data:text/html,<script>alert(1)</script>">x</a><a href="vbscript:x">x</a><a href="ftp://a.example">',
        '<a href="//shop.example.org">x</a><a href="https:shop.example.org">x</a><a href="http://">x</a><a href>x</a>',
        '<a href="https://[::1">x</a><a href="https://a.example:port/é">x</a><a href="">x</a><a name="x">y</a>',
        f'<link href="{SHOP}"><base href="{SHOP}"><form action="{SHOP}"><img src="{SHOP}"><abbr href="{SHOP}">',
        f'<!--[if mso]><a href="{SHOP}">x</a><![endif]--><!--><!---><script>"<a href=\'{SHOP}\'>"</script>',
        f'<style>a:after{{content:\'<a href="{SHOP}">\'}}</style><textarea><a href="{SHOP}"></textarea>',
        f'<plaintext><a href="{SHOP}">',
        f'<a href="{SHOP}',
        f'<a href="{SHOP}" title="never closed><a href=\'{SHOP}\'>',
        f'<!-- never closed <a href="{SHOP}">',
        f"< a href='{SHOP}'>no tag</ a> {SHOP} a < b",
    ],
)
def test_all_else_stays_byte_for_byte(source: str) -> None:
    assert tracked(source) == source
    read = TrackedHtml([source])
    assert [read.target(number, {}) for number in range(-1, 9)] == [None] * 10


def test_values_inside_of_a_link_lead_to_where_they_led() -> None:
    source = (
        '<a href="{{page}}">1</a><a href="https://{{host}}.example.org/?q={{q}}&amp;x=1">2</a>'
        '<a href={{page}}>3</a><a href="{{unsubscribeUrl}}">4</a>'
    )
    values = {"page": f"{SHOP}/a?b=1&c='2'", "host": "shop", "q": 'é "&<', "unsubscribeUrl": LINKS.opt_out()}
    shown = tracked(source, values)
    assert targets(source, values) == [values["page"], f"{SHOP}/?q=%C3%A9%20%22&%3C&x=1"]
    assert html.escape(values["page"]) in shown.partition("3</a>")[0]
    assert LINKS.opt_out() in shown


@pytest.mark.parametrize(
    "page", ["javascript:alert(1)", "data:text/html,x", "mailto:a@example.org", "", "&#106;avascript:1"]
)
def test_a_value_that_is_no_web_address_is_left_and_never_led_to(page: str) -> None:
    source = '<p><a href="{{page}}" class=x>x</a></p>'
    assert tracked(source, {"page": page}) == f'<p><a href="{html.escape(page)}" class=x>x</a></p>'
    assert TrackedHtml(Text(source, escape=html.escape).pieces).target(0, {"page": page}) is None


def test_values_cannot_add_links() -> None:
    """A value is escaped where it stands, and the numbers are those of the text without any."""
    source = '<p title="{{v}}">{{v}}</p><!-- {{v}} --><a href="https://shop.example.org/{{v}}">x</a><x{{v}}>'
    evil = '"><a href="https://evil.example">--></a>'
    assert targets(source, {"v": evil}) == [web_target(f"{SHOP}/{evil}")]


def test_the_picture_stands_before_the_end_of_the_body() -> None:
    with_body = "<html><body><p>Hi</p><!-- </body> --></BODY ></html>"
    assert PIXEL.sub("|", tracked(with_body, opens=True)) == "<html><body><p>Hi</p><!-- </body> -->|</BODY ></html>"
    assert PIXEL.sub("|", tracked("<p>Hi {{name}}</p>", opens=True)) == "<p>Hi </p>|"
    assert tracked(with_body, opens=False) == with_body


def test_no_more_than_a_thousand_links_are_followed() -> None:
    found = targets(f'<a href="{SHOP}">x</a>' * 1_200)
    assert found == [SHOP] * 1_000


markup = st.lists(
    st.sampled_from(
        [
            *("<", ">", "/", "=", '"', "'", " ", "\n", "<a ", "</a>", "href", "href=", f"'{SHOP}'", f'"{SHOP}"', SHOP),
            *("<!--", "-->", "--", "!", "<script>", "</script>", "<title", "</body>", "{{v}}", "&amp;", "é", "\0", "x"),
            f'<a href="{SHOP}/a">',
            '<a class="{{v}}" href="{{w}}">',
        ]
    ),
    max_size=30,
).map("".join)


@settings(max_examples=400)
@given(source=markup, value=st.sampled_from(["", "x", f"{SHOP}/v", 'a"b', "<a>", "--&gt;", "mailto:a@example.org"]))
@example(source='<a x="{{v}}" href="{{w}}">', value=f"{SHOP}/v")
def test_whatever_the_markup_is_only_links_change(source: str, value: str) -> None:
    values = {"v": value, "w": value}
    plain = Text(source, escape=html.escape).fill(values)
    shown = tracked(source, values, opens=True)
    # What we put in, put back: the text as it was, but for how a browser may spell the same target.
    wanted = iter(targets(source, values))
    restored = CLICK.sub(lambda _: next(wanted) or "", PIXEL.sub("", shown))
    assert re.sub(r"\s+", "", html.unescape(restored)) == re.sub(r"\s+", "", html.unescape(plain))


class Hrefs(HTMLParser):
    """The links as the standard library reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and "href" in dict(attrs):
            self.found.append(next(value for name, value in attrs if name == "href"))


well_formed = st.lists(
    st.one_of(
        st.sampled_from([f'<a href="{SHOP}/{each}">x</a>' for each in ("a", "b?c=1&amp;d=2", "&eacute;")]),
        st.sampled_from(["<p>", "</p>", "<br/>", "<!-- <a href=x> -->", "a &lt; b", "<a name=x>", "<td class='a>b'>"]),
        st.sampled_from(["<style>a>b{}</style>", "<a title='>' href='mailto:a@example.org'>", "<a href=#>"]),
    ),
    max_size=15,
).map("".join)


@given(well_formed)
def test_links_are_those_that_another_parser_sees(source: str) -> None:
    other = Hrefs()
    other.feed(source)
    other.close()
    read = TrackedHtml([source])
    assert [read.target(number, {}) for number in range(len(other.found))] == [
        web_target(each or "") for each in other.found
    ]
    assert read.target(len(other.found), {}) is None


@pytest.mark.parametrize(
    "evil",
    [
        "<a ",
        "<a href='",
        "<!--",
        "<a =\"' ",
        "<",
        "<a/",
        "<title>",
        "<!",
        "</",
        "<a x",
        "=",
        "&amp",
        "--!",
        "<a href=x ",
    ],
)
def test_reading_takes_time_by_length_alone(evil: str) -> None:
    def seconds(count: int) -> float:
        source = "<a " + evil * count + '<a href="' + "&amp" * count + '">'
        started = process_time()
        TrackedHtml([source])
        return process_time() - started

    short = max(min(seconds(10_000) for _ in range(3)), 0.002)
    assert min(seconds(80_000) for _ in range(2)) < 40 * short  # eight times as long; sixty-four if it were squared


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("a&amp;b", "a&b"),
        ("?a=1&copy=2&reg;=3&amp", "?a=1&copy=2®=3&"),
        ("&notit;&not;&#65;&#x42&#67;&unknown;", "&notit;¬ABC&unknown;"),
        ("&#99999999999999999999;&#x" + "9" * 5_000, "\ufffd\ufffd"),
    ],
)
def test_references_are_read_as_in_an_attribute(value: str, wanted: str) -> None:
    assert unescape_attribute(value) == wanted


def mail(body: str, form: str = "html", *, opens: bool = True, clicks: bool = True) -> bytes:
    content = Content(subject="Hello", body=body, format=form)
    built = Mail(content, sender_name="Acme", sender="news@example.org", domain="example.org")
    raws = [
        built.fill(
            message_id="msg_1",
            run=1,
            recipient="ann@example.net",
            variables={"name": "Ann", "items": ["a", "b"]},
            date=DATE,
            tracking=Tracking(LINKS, opens=opens, clicks=clicks),
        )
        for _ in range(2)
    ]
    assert raws[0] == raws[1]
    return raws[0]


def parts(raw: bytes) -> dict[str, str]:
    message = message_from_bytes(raw, policy=policy.default)
    return {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}


@pytest.mark.parametrize(
    "body",
    [
        f'<body><p>Hi {{{{name}}}}</p><a href="{SHOP}/a">Look</a></body>',
        f'<body><a href="{SHOP}/a">Look</a></body>',
        f'<body>{"日本語" * 40}<a href="{SHOP}/a">Look</a></body>',
        f'<body>{{% if name %}}<a href="{SHOP}/a">Look</a>{{% endif %}}</body>',
    ],
    ids=["names", "constant", "base64", "liquid"],
)
def test_the_text_part_keeps_its_links(body: str) -> None:
    read = parts(mail(body))
    assert f"({SHOP}/a)" in read["text/plain"]
    assert PUBLIC_URL not in read["text/plain"]
    assert len(CLICK.findall(read["text/html"])) == len(PIXEL.findall(read["text/html"])) == 1
    assert SHOP not in read["text/html"]
    assert PIXEL.findall(parts(mail(body, clicks=False))["text/html"])
    assert SHOP in parts(mail(body, clicks=False))["text/html"]
    assert PIXEL.findall(parts(mail(body, opens=False))["text/html"]) == []


def test_a_text_mail_is_sent_as_it_is() -> None:
    assert f"{SHOP}/a" in parts(mail(f'Look: {SHOP}/a <a href="{SHOP}">', "text"))["text/plain"]


def test_what_depends_on_the_hour_keeps_its_links() -> None:
    body = f"<a href=\"{SHOP}/{{{{ 'now' | date: '%H' }}}}\">x</a>"
    read = parts(mail(body))["text/html"]
    assert CLICK.findall(read) == []
    assert len(PIXEL.findall(read)) == 1
    compiled = Texts("", body, "html").body
    assert compiled is not None
    assert compiled.reads_clock
