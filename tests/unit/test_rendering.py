import html

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channels.rendering import RenderError, Text, Texts, compile_text, escape_markdown, needs_liquid


def test_names_are_filled_and_escaped_in_html_alone() -> None:
    values = {"a": "<b>", "c.d": "&"}
    assert Text("{{a}} and {{ c.d }}{{none}}!", escape=None).fill(values) == "<b> and &!"
    assert Text("{{a}} and {{ c.d }}{{none}}!", escape=html.escape).fill(values) == "&lt;b&gt; and &amp;!"
    assert Text("{{a}}{{ a }}{{b}}", escape=None).names == {"a", "b"}


@given(
    st.lists(st.sampled_from(["{{a}}", "{{b}}", "{{none}}", "é", "text "]), max_size=20),
    st.text(),
    st.text(),
    st.booleans(),
)
def test_the_size_is_that_of_the_filled_text(pieces: list[str], a: str, b: str, escape: bool) -> None:
    text = Text("".join(pieces), escape=html.escape if escape else None)
    assert text.size({"a": a, "b": b}) == len(text.fill({"a": a, "b": b}))


@pytest.mark.parametrize("source", ["{{", "{{a b}}", "{% if %}", "{{a}"])
def test_what_cannot_be_read_is_refused(source: str) -> None:
    with pytest.raises(RenderError):
        Text(source, escape=None)
    with pytest.raises(RenderError):
        compile_text(source, escape=None)


@given(st.lists(st.sampled_from(["{{a}}", "{{ b.c }}", "{", "}", "%", "{{", "}}", "a", " ", "{%", "\n"]), max_size=12))
@example(["{{{"])
@example(["{{{%"])
@example(["{", "{{a}}"])
def test_liquid_is_needed_where_names_alone_cannot_be_read(pieces: list[str]) -> None:
    source = "".join(pieces)
    try:
        Text(source, escape=None)
    except RenderError:
        assert needs_liquid(source)
    else:
        assert not needs_liquid(source)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.text(st.characters(exclude_categories=["Cs"]))))
def test_both_ways_fill_names_alike(values: dict[str, str]) -> None:
    source = "{{a}} - {{ b }}{{c}}."
    quick, liquid = (compile_text(source, escape=None, liquid=choice) for choice in (False, True))
    assert quick.names == liquid.names
    assert quick.fill(values) == liquid.fill(values)
    assert liquid.size(values) == len(liquid.fill(values))


def test_markdown_is_escaped_by_its_own_set() -> None:
    text = compile_text("*{{a}}* {{ 'x.y' }}{% capture c %}_{{a}}_{% endcapture %}{{c}}", escape=escape_markdown)
    assert text.fill({"a": "1.5*"}) == r"*1\.5\** x\.y_1\.5\*_"


def test_subject_and_body_share_their_values() -> None:
    texts = Texts("{{n}} new", "{% if n > 2 %}many{% endif %}<{{ n }}>", "html")
    assert texts.is_liquid
    assert texts.subject is not None
    assert texts.body is not None
    assert texts.names == {"n"}
    assert (texts.subject.fill({"n": 3}), texts.body.fill({"n": 3})) == ("3 new", "many<3>")


def test_only_the_body_is_escaped() -> None:
    texts = Texts("{{a}}", "{{a}}", "html")
    assert not texts.is_liquid
    assert texts.subject is not None
    assert texts.body is not None
    assert (texts.subject.fill({"a": "&"}), texts.body.fill({"a": "&"})) == ("&", "&amp;")
