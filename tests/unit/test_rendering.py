import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.rendering import RenderError, Text


def test_names_are_filled_and_escaped_in_html_alone() -> None:
    values = {"a": "<b>", "c.d": "&"}
    assert Text("{{a}} and {{ c.d }}{{none}}!", escape=False).fill(values) == "<b> and &!"
    assert Text("{{a}} and {{ c.d }}{{none}}!", escape=True).fill(values) == "&lt;b&gt; and &amp;!"
    assert Text("{{a}}{{ a }}{{b}}", escape=False).names == {"a", "b"}


@given(
    st.lists(st.sampled_from(["{{a}}", "{{b}}", "{{none}}", "é", "text "]), max_size=20),
    st.text(),
    st.text(),
    st.booleans(),
)
def test_the_size_is_that_of_the_filled_text(pieces: list[str], a: str, b: str, escape: bool) -> None:
    text = Text("".join(pieces), escape=escape)
    assert text.size({"a": a, "b": b}) == len(text.fill({"a": a, "b": b}))


@pytest.mark.parametrize("source", ["{{", "{{a b}}", "{% if %}", "{{a}"])
def test_what_cannot_be_read_is_refused(source: str) -> None:
    with pytest.raises(RenderError):
        Text(source, escape=False)
