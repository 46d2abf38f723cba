"""The texts of a template: one part per channel and locale, with ``*`` for all that have none of their own."""

from collections.abc import Mapping
from typing import Any, Final

ANY: Final = "*"

Parts = dict[str, dict[str, dict[str, Any]]]
"""By channel or ``*``, then by locale or ``*``: ``subject``, ``body`` and ``format``."""


def part_for(
    parts: Mapping[str, Mapping[str, Mapping[str, Any]]], channel: str, locale: str | None
) -> Mapping[str, Any]:
    """The part that a message on ``channel`` to a reader of ``locale`` (BCP 47) is made of; {} where there is none.

    The channel's own parts come first; among those the whole locale, then its language, then ``*``.
    """
    wanted = [ANY] if not locale else [locale, locale.replace("_", "-").split("-")[0], ANY]
    for by_locale in (parts.get(channel, {}), parts.get(ANY, {})):
        for name in wanted:
            if name in by_locale:
                return by_locale[name]
    return {}
