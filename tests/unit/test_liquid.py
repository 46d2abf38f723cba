"""What templates can say. The limits have a test of their own."""

import html
from typing import Any

import pytest

from channels.rendering import RenderError, compile_text

VALUES: dict[str, Any] = {
    "name": "Ann & <Bob>",
    "items": [{"n": "one", "price": 2}, {"n": "two", "price": 3.5}],
    "attributes.plan": "pro",
    "map": {"a": [1, True]},
    "at": "2026-03-05T09:07:00+01:00",
    "yes": True,
}


def shown(source: str, *, escape: bool = False) -> str:
    return compile_text(source, escape=html.escape if escape else None, liquid=True).fill(VALUES)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ name | default: 'friend' }}/{{ none | default: 'friend' }}", "Ann & <Bob>/friend"),
        (
            "{% for i in items %}{{ forloop.index }}{{ i.n }}{% unless forloop.last %},{% endunless %}{% endfor %}",
            "1one,2two",
        ),
        ("{% for i in items reversed limit: 1 %}{{ i.n }}{% else %}none{% endfor %}", "one"),
        ("{% for i in (1..3) %}{% cycle 'a', 'b' %}{% endfor %}", "aba"),
        ("{% for i in none %}x{% else %}none{% endfor %}", "none"),
        ("{% if attributes.plan == 'pro' and yes %}P{% elsif yes %}Y{% else %}N{% endif %}", "P"),
        ("{% case attributes.plan %}{% when 'free', 'trial' %}F{% when 'pro' %}P{% endcase %}", "P"),
        ("{% assign total = items | map: 'price' | sum %}{{ total }}", "5.5"),
        ("{% capture x %}<{{ attributes.plan }}>{% endcapture %}{{ x | upcase }}", "<PRO>"),
        ("a {%- comment -%} {{ no {% comment %}x{% endcomment %} {%- endcomment -%} b", "ab"),
        ("{% raw %}{{ name }}{% if %}{% endraw %}", "{{ name }}{% if %}"),
        ("{% # nothing to see %}x", "x"),
        ("{{ at | date: '%-d %B %Y, %H:%M' }}", "5 March 2026, 09:07"),
        ("{{ 'Thu, 05 Mar 2026 09:07:00 +0100' | date: '%Y-%m-%d' }}", "2026-03-05"),
        ("{{ 0 | date }} {{ 'soon' | date: '%Y' }}", "1970-01-01 soon"),
        ("{{ map }} {{ map.a.first }} {{ map | json }}", '{"a":[1,true]} 1 {"a":[1,true]}'),
        ("{{ '<p>a<script>b</script></p >c<' | strip_html }}", "ac<"),
        ("{{ items.size }}{{ items[0].n }}{{ items[1]['n'] }}{{ attributes['plan'] }}", "2onetwopro"),
        ("{% for i in (1..5) %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}", "1345"),
        ("{% for i in (1..5) %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}", "123"),
        ("{% echo name | size %}", "11"),
        ("{{ yes }}{{ none }}{{ nil }}", "true"),
    ],
)
def test_it_is_liquid(source: str, expected: str) -> None:
    assert shown(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<b>{{ name }}</b>", "<b>Ann &amp; &lt;Bob&gt;</b>"),
        ("{{ name | escape }}", "Ann &amp; &lt;Bob&gt;"),
        ("{{ name | append: '<br>' }}", "Ann &amp; &lt;Bob&gt;<br>"),
        ("{% capture x %}<i>{{ name }}</i>{% endcapture %}{{ x }}", "<i>Ann &amp; &lt;Bob&gt;</i>"),
        ("{% cycle name, 'b' %}", "Ann &amp; &lt;Bob&gt;"),
        ("{% echo name %}", "Ann &amp; &lt;Bob&gt;"),
        ("{{ name | split: ' ' | join: '<' }}", "Ann<&amp;<&lt;Bob&gt;"),
    ],
)
def test_values_are_escaped_in_html(source: str, expected: str) -> None:
    assert shown(source, escape=True).replace("&#39;", "'") == expected


def test_names_are_what_is_asked_for() -> None:
    source = (
        "{{ attributes.plan.size }}{{ a.b['c'] }}{{ list[0].x }}{{ m[key] }}{{ 'text' }}"
        "{% assign own = given %}{{ own.x }}{% for i in list %}{{ i.x }}{{ forloop.index }}{{ i[inner] }}{% endfor %}"
    )
    names = compile_text(source, escape=None).names
    assert names == {"attributes.plan", "a.b.c", "list", "m", "key", "given", "inner"}


def test_parts_of_a_value_stand_beside_the_whole() -> None:
    text = compile_text("{{ a.b }}{{ a.c | upcase }}{{ a['d.e'] }}{{ x-y }}", escape=None)
    assert text.names == {"a.b", "a.c", "a", "x-y"}
    assert text.fill({"a": {"b": 1, "c": "q", "d.e": "z"}, "x-y": "-", "a.b": 1, "a.c": "q"}) == "1Qz-"
    assert compile_text("{{ a.b }}{{ a.c | upcase }}", escape=None).fill({"a.b": 1, "a.c": "q"}) == "1Q"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("\n\n{{ a | nope }}", "line 3: there is no filter nope"),
        ("x\n{% render 'other' %}", "line 2: unexpected tag 'render'"),
        ("{% if a %}", "line 1: expected tag endif"),
        ("{{ a", "line 1: nothing closes {{"),
        ("{% break %}{{ a | size }}", "break or continue outside of a loop"),
        ("\n{{ name | date: '%Q' }}", "line 2: a filter or an operator cannot take this value"),
        ("\n{{ name | slice: name }}", "line 2: a filter or an operator cannot take this value"),
    ],
)
def test_what_is_wrong_is_said_without_any_value(source: str, said: str) -> None:
    with pytest.raises(RenderError) as caught:
        shown(source)
    assert said in str(caught.value)
    assert "Ann" not in str(caught.value)
