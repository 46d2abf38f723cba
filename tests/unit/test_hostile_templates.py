"""Templates that want all of the machine are refused, each in less than 50 ms of processor time."""

import time
from typing import Any, Final

import pytest

from channels.rendering import RenderError, compile_text, escape_for

_BOUND_S: Final = 0.050
_MIB: Final = 1 << 20

VALUES: dict[str, Any] = {
    "big": "x" * _MIB,
    "markup": "<script" * 50_000,
    "items": [{"n": number} for number in range(1000)],
    "others": [{"n": number} for number in range(1000)],
    "deep": [[[[0] * 10] * 10] * 10] * 10,
    "many": [0] * 100_000,
    "n": 10**9,
    "words": "a " * 100_000,
}
_FOR: Final = "{% for i in (1..9999) %}"
_END: Final = "{% endfor %}"

HOSTILE: Final = {
    "endless loops": _FOR * 5 + "x" + _END * 5,
    "a loop after another": (_FOR + "{{ i }}" + _END) * 66,
    "loops of nothing": (_FOR + _END) * 100,
    "a huge range": "{% for i in (1..1000000000) %}x{% endfor %}",
    "a huge range backwards": "{% for i in (1..1000000000) reversed %}x{% endfor %}",
    "a huge range by a value": "{% for i in (1..n) offset: 999999990 %}x{% endfor %}",
    "a huge range, joined": "{% assign r = (1..1000000000) %}{{ r | join: 'xxxxxxxx' }}",
    "a huge range, searched": "{% assign r = (1..1000000000) %}{% if r contains 'x' %}{% endif %}",
    "a loop that skips all": _FOR + "{% for j in (1..9999) offset: 9999 %}{% endfor %}" + _END,
    "a loop over a loop": _FOR + "{{ forloop | join: 'a' }}" + _END,
    "doubling by append": "{% assign a = 'xxxxxxxxxx' %}" + _FOR + "{% assign a = a | append: a %}" + _END + "{{ a }}",
    "doubling by prepend": "{% assign a = 'xxxxxxxxxx' %}" + "{% assign a = a | prepend: a %}" * 60,
    "doubling by capture": "{% assign a = 'xx' %}" + _FOR + "{% capture a %}{{ a }}{{ a }}{% endcapture %}" + _END,
    "doubling by concat": "{% assign a = items %}" + _FOR + "{% assign a = a | concat: a %}" + _END,
    "doubling by replace": f"{{% assign a = '{'x' * 900}' %}}" + _FOR + "{% assign a = a | replace: 'x', a %}" + _END,
    "replace of nothing": "{{ big | replace: '', big }}",
    "join": "{{ many | join: big }}",
    "split": "{% assign a = big | split: '' %}{{ a | size }}",
    "much output": _FOR + "y" * 100_000 + _END,
    "much captured": "".join(
        f"{{% capture c{number} %}}{{% for i in (1..50) %}}{'y' * 20_000}{{% endfor %}}{{% endcapture %}}"
        for number in range(40)
    ),
    "a giant number": "{{ " + "9" * 1_000_000 + " | plus: 1 }}",
    "a number that squares itself": "{% assign a = 99999999 %}" + _FOR + "{% assign a = a | times: a %}" + _END,
    "numbers that are none": "{{ 'nan' | times: 'inf' | floor }}",
    "an infinite sum": "{{ '1e999999999,1' | split: ',' | sum }}",
    "a division by zero": "{{ 5 | divided_by: 0 }}",
    "parentheses": "{{ " + "(" * 100_000 + " }}",
    "brackets": "{{ a" + "[a" * 100_000 + "]" * 100_000 + " }}",
    "nested ifs": "{% if a %}" * 100_000 + "{% endif %}" * 100_000,
    "nested fors": "{% for a in b %}" * 100 + _END * 100,
    "elsif without end": _FOR + "{% if false %}" + "{% elsif 'a' == 'b' %}z" * 195 + "{% endif %}" + _END,
    "when without end": _FOR + "{% case 'q' %}" + "{% when 'a', 'b', 'c', 'd' %}z" * 120 + "{% endcase %}" + _END,
    "and without end": "{% if " + "a and " * 200_000 + "a %}x{% endif %}",
    "a mebibyte of {{": "{{" * (_MIB // 2),
    "a mebibyte of {%": "{%" * (_MIB // 2),
    "a mebibyte of tags": "{{ a | upcase }}" * (_MIB // 16),
    "a mebibyte of raw": "{% raw %}" * (_MIB // 9),
    "a mebibyte of comments": "{% comment %}" * (_MIB // 13),
    "a mebibyte of quotes": "{{ " + "'\"" * (_MIB // 2) + " }}",
    "a mebibyte of half paths": "{{ " + '["' * (_MIB // 2) + " }}",
    "a mebibyte of spaces": "{{" + " " * _MIB + "a | size }}{%" + " " * _MIB,
    "a mebibyte of filters": "{{ a" + "|upcase" * (_MIB // 7) + " }}",
    "attributes": "{{ big['__class__']['__mro__'] }}",
    "attributes of a filter": "{{ big.first.__class__ | upcase }}",
    "a name from a value": "{{ [big] | size }}",
    "another file": "{% include '/etc/passwd' %}",
    "itself": "{% render 'self' %}",
    "a wide date": "{{ 'now' | date: '%999999999Y' }}",
    "a long date": "{{ big | date: '%Y' }}",
    "strip_html": "{{ markup | strip_html }}",
    "escape": "{{ words | escape | escape | url_encode | url_encode | url_encode }}",
    "truncatewords": _FOR + "{{ words | truncatewords: 100000 }}" + _END,
    "uniq": _FOR + "{{ items | uniq | size }}" + _END,
    "sort": _FOR + "{% assign a = items | sort: 'n' %}" + _END,
    "comparisons": _FOR + "{% if items == others %}{% endif %}" + _END,
    "json": _FOR + "{{ deep | json }}" + _END,
    "base64": "{{ big | base64_encode }}",
    "cycles": _FOR + "{% cycle big, big, big %}" + _END,
    "dates": _FOR + "{{ 'Mon, 20 Nov 1995 19:12:08 -0500' | date: '%a %b %d %H %M %S %Y' }}" * 80 + _END,
    "literals": _FOR + "{{ 'aaaaaaaaaaaaaaaa' | upcase }}" * 198 + _END,
    "paths": _FOR + "{{ a.b.c.d.e.f.g.h.i.j.k.l.m[a.b.c][d.e.f] }}" * 20 + _END,
    "an unclosed block": "{% for a in b %}",
    "a break outside": "{% break %}{{ a | upcase }}",
}


@pytest.fixture(scope="module", autouse=True)
def library() -> None:
    compile_text("{{ a | size }}", escape=None)  # its import takes longer than any template


@pytest.mark.parametrize("form", ["html", "markdownv2"])
@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_in_time(name: str, form: str) -> None:
    taken: list[float] = []
    while len(taken) < 3 and min(taken, default=1.0) >= _BOUND_S:
        taken.append(refuse(HOSTILE[name], form))
    assert min(taken) < _BOUND_S


def refuse(source: str, form: str) -> float:
    begun = time.process_time()
    with pytest.raises(RenderError):
        compile_text(source, escape=escape_for(form)).fill(VALUES)
    return time.process_time() - begun


@pytest.mark.parametrize("path", ["x.__class__", "x.__init__.__globals__", "x.__len__", "__builtins__"])
def test_no_attribute_is_in_reach_of_a_plain_name(path: str) -> None:
    assert compile_text("{{" + path + "}}", escape=None).fill({"x": "text"}) == ""


def test_a_large_honest_template_passes() -> None:
    row = "<tr><td>{{ item.n }}</td><td>{{ item.n | times: 2 }}</td><td>{% cycle 'odd', 'even' %}</td></tr>"
    source = "<p>{{ firstName | default: 'friend' }}</p>" * 60 + "{% for item in items limit: 100 %}" + row + _END
    text = compile_text(source, escape=escape_for("html")).fill(VALUES)
    assert text.count("<tr>") == 100
