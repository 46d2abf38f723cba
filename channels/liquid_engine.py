"""The Liquid that templates are written in: which tags and filters there are, and how outputs are escaped."""

from collections.abc import Callable, Iterator
from io import StringIO
from typing import Final, TextIO

from liquid import Environment, RenderContext
from liquid.builtin import content, illegal
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags import assign_tag, capture_tag, case_tag, cycle_tag, echo_tag, for_tag, if_tag, unless_tag
from liquid.stringify import to_liquid_string
from liquid.tag import Tag
from liquid.token import Token

from channels.liquid_filters import bounded_filters
from channels.liquid_meter import LONGEST_RANGE, MeteredContext
from channels.liquid_scan import Scanner

_BLOCKS: Final = 30
_TAGS: Final[tuple[type[Tag], ...]] = (
    content.Literal,
    illegal.Illegal,
    assign_tag.AssignTag,
    case_tag.CaseTag,
    for_tag.BreakTag,
    for_tag.ContinueTag,
    for_tag.ForTag,
    if_tag.IfTag,
    unless_tag.UnlessTag,
)


class LiquidContext(MeteredContext):
    """A metered context. ``escape``: how outputs are escaped where the library does not do it itself."""

    escape: Callable[[str], str] | None = None


class Rendered(str):
    """Captured text, whose outputs are escaped already."""

    __slots__ = ()


def own(context: RenderContext) -> LiquidContext:
    """The context as what it always is here."""
    if not isinstance(context, LiquidContext):
        raise TypeError("templates are filled in a LiquidContext")
    return context


class _OutputNode(OutputNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = self.expression.evaluate(context)
        text = to_liquid_string(value, context.autoescape)
        escape = own(context).escape
        return buffer.write(text if escape is None or isinstance(value, Rendered) else escape(text))


class _Output(Output):
    node_class = _OutputNode


class _EchoNode(_OutputNode, echo_tag.EchoNode):
    pass


class _Echo(echo_tag.EchoTag):
    node_class = _EchoNode


class _CycleNode(cycle_tag.CycleNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        chosen = StringIO()
        super().render_to_output(context, chosen)
        escape = own(context).escape
        return buffer.write(chosen.getvalue() if escape is None else escape(chosen.getvalue()))


class _Cycle(cycle_tag.CycleTag):
    node_class = _CycleNode


class _CaptureNode(capture_tag.CaptureNode):
    def _assign(self, context: RenderContext, buf: StringIO) -> None:
        if own(context).escape is None:
            super()._assign(context, buf)
        else:
            context.assign(self.name, Rendered(buf.getvalue()))


class _Capture(capture_tag.CaptureTag):
    node_class = _CaptureNode


class LiquidEnvironment(Environment):
    """Standard Liquid without other files, counters, tables and the ``liquid`` tag; nothing outside is reachable."""

    block_nesting_limit = _BLOCKS
    context_depth_limit = _BLOCKS + 10
    loop_iteration_limit = LONGEST_RANGE

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Only what can be bounded."""
        own_tags: tuple[type[Tag], ...] = (_Output, _Echo, _Cycle, _Capture)
        for tag in _TAGS + own_tags:
            self.add_tag(tag)
        for name, function in bounded_filters().items():
            self.add_filter(name, function)

    def tokenizer(self) -> Callable[[str], Iterator[Token]]:
        """Our own, in one pass."""
        return lambda source: Scanner(source).tokens()
