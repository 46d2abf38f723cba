"""What a Liquid template may cost, counted while it is filled.

Work is counted, not timed: so a text that was checked when its message was accepted is filled by a busy worker too,
and refused by an idle one. A unit is some three microseconds of processor time.
"""

from collections.abc import Mapping
from io import StringIO
from typing import Final

from liquid import BoundTemplate, RenderContext
from liquid.exceptions import ResourceLimitError
from liquid.token import Token
from liquid.undefined import UNDEFINED
from liquid.utils import ReadOnlyChainMap

MOST_WORK: Final = 5_000
MOST_OUTPUT: Final = 2 << 20
"""Characters, what is captured in between included."""
LONGEST_RANGE: Final = 10_000
_CHARACTERS_A_UNIT: Final = 16
_VALUES_A_UNIT: Final = 4
_LARGEST_NUMBER: Final = 1 << 128
_CONTAINERS: Final = (list, tuple, dict, range)


class TooMuch(ResourceLimitError):
    """A limit was reached; its message names which."""

    def __init__(self, message: str) -> None:
        super().__init__(message, token=None)


class MeteredContext(RenderContext):
    """What a template sees while it is filled, and what it has left to spend."""

    def __init__(self, template: BoundTemplate, variables: Mapping[str, object]) -> None:
        super().__init__(template)
        # Without the library's own names: the server's local time is nobody's business.
        self.scope = ReadOnlyChainMap(self.locals, variables)
        self._work_left = MOST_WORK
        self._room_left = MOST_OUTPUT

    def spend(self, units: int) -> None:
        """Raises TooMuch once all is spent."""
        self._work_left -= units
        if self._work_left < 0:
            raise TooMuch("takes too much work: shorter loops, or smaller values")

    def write_down(self, characters: int) -> None:
        """Count characters of output; raises TooMuch."""
        self._room_left -= characters
        if self._room_left < 0:
            raise TooMuch(f"longer than {MOST_OUTPUT:,} characters")

    def weigh(self, *values: object) -> None:
        """Spend what going through ``values`` once would cost; raises TooMuch for numbers without measure too."""
        pending = list(values)
        count = 0
        while pending:
            value = pending.pop()
            count += 1
            if isinstance(value, str):
                self.spend(len(value) // _CHARACTERS_A_UNIT)
            elif isinstance(value, int):
                if not -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER:
                    raise TooMuch("a number is too large")
            elif isinstance(value, _CONTAINERS):
                count += len(value)
                if count > self._work_left * _VALUES_A_UNIT:
                    break
                if not isinstance(value, range):
                    pending.extend(value.values() if isinstance(value, dict) else value)
        self.spend(1 + count // _VALUES_A_UNIT)

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        """The value at ``path``, which may be large and is used now."""
        found = super().get(path, token=token, default=default)
        self.weigh(found)
        return found

    def get_buffer(self, buf: object = None) -> StringIO:
        """Where text is captured."""
        return Output(self)


class Output(StringIO):
    """Where text is written; counts against the context's room."""

    def __init__(self, context: MeteredContext) -> None:
        super().__init__(newline="")
        self._context = context

    def write(self, text: str, /) -> int:
        """Write; raises TooMuch."""
        self._context.write_down(len(text))
        return super().write(text)
