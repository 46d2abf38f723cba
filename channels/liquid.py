"""Texts in Liquid: compiled once, filled for each recipient, within limits that hold for every text and value.

Besides what the library offers: ``{{ name }}`` reads the contact's values, which are plain JSON, and nothing else is in
reach. The limits are in ``liquid_scan`` (reading) and ``liquid_meter`` (filling).
"""

import html
import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from liquid.exceptions import LiquidError, LiquidInterrupt, ResourceLimitError

from channels.liquid_engine import LiquidContext, LiquidEnvironment
from channels.liquid_meter import Output
from channels.liquid_scan import line_of
from channels.liquid_survey import Survey
from channels.render_error import RenderError

_ENVIRONMENTS: Final = {escapes: LiquidEnvironment(autoescape=escapes) for escapes in (False, True)}
_UNFIT: Final = "a filter or an operator cannot take this value"
_MOST_VALUES: Final = 20_000
_CLOCK: Final = re.compile(r"""["']\s*(?:now|today)\s*["']""")
"""What the filter ``date`` takes for the present time."""


class Liquid:
    """A compiled text. ``names``: the values it asks for, ``attributes.plan`` for what is inside another.

    ``escape``: how each output is escaped; None as it is.
    """

    def __init__(self, source: str, *, escape: Callable[[str], str] | None) -> None:
        """Compile; raises RenderError."""
        is_html = escape is html.escape
        environment = _ENVIRONMENTS[is_html]
        self._escape = None if is_html else escape
        self._source = source
        self._compiled = False
        try:
            self._template = environment.from_string(source)
            survey = Survey(self._template, source)
        except LiquidError as error:
            raise self._refusal(error) from None
        except RecursionError:
            raise RenderError("nested too deeply") from None
        self.names: Final = frozenset(survey.names)
        self.reads_clock: Final = _CLOCK.search(source) is not None
        self._cost = survey.cost
        self._compiled = True

    def size(self, variables: Mapping[str, object]) -> int:
        """How many characters ``fill`` gives."""
        return len(self.fill(variables))

    def fill(self, variables: Mapping[str, object]) -> str:
        """The text for one recipient; raises RenderError. ``variables``: plain JSON, by ``names``."""
        context = LiquidContext(self._template, self._scope(variables))
        context.escape = self._escape
        output = Output(context)
        try:
            context.spend(self._cost)
            for node in self._template.nodes:
                node.render(context, output)
        except LiquidInterrupt:
            raise RenderError("break or continue outside of a loop") from None
        except LiquidError as error:
            raise self._refusal(error) from None
        except Exception:  # noqa: BLE001 - the library lets through whatever Python raises at odd values
            # Not its words: they may quote a value.
            raise RenderError(_UNFIT) from None
        return output.getvalue()

    def _scope(self, variables: Mapping[str, object]) -> dict[str, object]:
        scope: dict[str, object] = {}
        convert = _Converter()
        # The shorter first: who asks for the whole needs none of its parts.
        for name in sorted(self.names):
            if name in variables:
                _put(scope, name, convert(variables[name]))
        return scope

    def _refusal(self, error: LiquidError) -> RenderError:
        """What may be shown of the library's error; one met while filling may quote a value."""
        if isinstance(error.__cause__, RenderError):
            return error.__cause__
        said = str(error.message) if isinstance(error, ResourceLimitError) or not self._compiled else _UNFIT
        place = "" if error.token is None else f"{line_of(self._source, error.token.start_index)}: "
        return RenderError(place + said)


class _Map(dict[str, object]):
    """A JSON object that is shown as JSON."""

    def __str__(self) -> str:
        return msgspec.json.encode(self).decode()


class _Converter:
    """Makes values what Liquid is to see; raises RenderError for more of them than anybody reads."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def __call__(self, value: object) -> object:
        if not isinstance(value, (dict, list)):
            return value
        self._left -= len(value)
        if self._left < 0:
            raise RenderError(f"more than {_MOST_VALUES:,} values")
        if isinstance(value, dict):
            return _Map({name: self(each) for name, each in value.items()})
        return [self(each) for each in value]


def _put(scope: dict[str, object], name: str, value: object) -> None:
    """Put a value where ``name`` leads; what is there already holds it."""
    if name in scope:
        return
    *above, last = name.split(".")
    inner = scope
    for each in above:
        below = inner.setdefault(each, _Map())
        if not isinstance(below, dict):
            return
        inner = below
    inner.setdefault(last, value)
