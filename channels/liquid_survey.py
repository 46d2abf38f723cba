"""One walk through a parsed template: what it asks for, what it costs, and a meter in each of its blocks."""

from collections.abc import Iterable
from typing import Any, Final, TextIO

from liquid import BoundTemplate, RenderContext
from liquid.ast import BlockNode, Node
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.tags.case_tag import MultiExpressionBlockNode
from liquid.expression import Expression
from liquid.token import Token

from channels.liquid_engine import own
from channels.liquid_meter import LONGEST_RANGE, TooMuch
from channels.liquid_scan import line_of
from channels.render_error import RenderError

_PROPERTIES: Final = ("first", "last", "size")
"""What Liquid itself knows of a list or a text."""


class Survey:
    """The walk. ``names``: the values asked for, as paths with dots. ``cost``: of one pass, without the blocks.

    Raises RenderError for a filter that there is not, and for names that nothing may have.
    """

    def __init__(self, template: BoundTemplate, source: str) -> None:
        self.names: set[str] = set()
        self._template = template
        self._source = source
        self._static = RenderContext(template)
        self._scopes: list[set[str]] = [set()]
        self.cost = self._block(template.nodes)

    def _block(self, nodes: Iterable[Node]) -> int:
        return 2 + sum([self._node(node) for node in nodes])

    def _node(self, node: Node) -> int:
        """What one pass costs, whichever branch it takes; blocks pay for themselves."""
        cost = 1
        # What a {% when %} asks is compared with the case's value, by rules that cost as much again.
        times = 2 if isinstance(node, MultiExpressionBlockNode) else 1
        for expression in node.expressions():
            cost += times * self._expression(expression)
        self._scopes[0].update(node.template_scope())
        self._scopes.append(set(node.block_scope()))
        for child in node.children(self._static, include_partials=False):
            if isinstance(child, BlockNode):
                child.nodes.insert(0, _Meter(child.token, self._block(child.nodes)))
            else:
                cost += self._node(child)
        self._scopes.pop()
        return cost

    def _expression(self, expression: Expression) -> int:
        cost = 1
        if isinstance(expression, Path):
            self._path(expression)
            cost += len(expression.path) // 3
        elif isinstance(expression, RangeLiteral):
            cost += 4
            expression.stop = _RangeEnd(expression.token, expression.start, expression.stop)
        elif isinstance(expression, FilteredExpression):
            for each in expression.filters or ():
                cost += 1
                if each.name not in self._template.env.filters:
                    raise self._refusal(f"there is no filter {each.name[:40]}", each.token)
        for child in expression.children():
            cost += self._expression(child)
        return cost

    def _path(self, path: Path) -> None:
        root = path.path[0]
        if not isinstance(root, str):
            raise self._refusal("the name of a value must be written out", path.token)
        if any(isinstance(segment, str) and segment.startswith("__") for segment in path.path):
            raise self._refusal("a name begins with two underscores", path.token)
        if not any(root in scope for scope in self._scopes):
            self.names.add(_name_of(path.path))

    def _refusal(self, detail: str, token: Token) -> RenderError:
        return RenderError(f"{line_of(self._source, token.start_index)}: {detail}")


def _name_of(path: Iterable[object]) -> str:
    """The name under which the value at ``path`` is asked for: down to where it is known beforehand."""
    known: list[str] = []
    for segment in path:
        if not isinstance(segment, str) or (known and (segment in _PROPERTIES or "." in segment)):
            break
        known.append(segment)
    return ".".join(known)


class _Meter(Node):
    """Stands first in a block: pays for the block each time it is gone through."""

    __slots__ = ("_cost",)

    def __init__(self, token: Token, cost: int) -> None:
        super().__init__(token)
        self._cost = cost

    def __str__(self) -> str:
        return ""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        own(context).spend(self._cost)
        return 0


class _RangeEnd(Expression):
    """The end of ``(first..last)``, refused where it is too far away; whoever asks for it pays for the range."""

    __slots__ = ("_first", "_last")

    def __init__(self, token: Token, first: Expression, last: Expression) -> None:
        super().__init__(token)
        self._first = first
        self._last = last

    def __str__(self) -> str:
        return str(self._last)

    def evaluate(self, context: RenderContext) -> object:
        last = self._last.evaluate(context)
        length = _whole(last) - _whole(self._first.evaluate(context))
        if length >= LONGEST_RANGE:
            raise TooMuch(f"a range is longer than {LONGEST_RANGE:,}")
        own(context).spend(max(length, 0) // 8)
        return last

    def children(self) -> Iterable[Expression]:
        return [self._last]


def _whole(value: Any) -> int:
    """As the library reads the ends of a range."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
