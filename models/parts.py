"""The texts of a template: one part per channel and locale, with ``*`` for all that have none of their own."""

from collections.abc import Mapping
from typing import Any, Final

ANY: Final = "*"

Part = dict[str, Any]
"""``subject``, ``body`` and ``format``."""

Parts = dict[str, dict[str, Part]]
"""By channel or ``*``, then by locale (in its normal form) or ``*``."""


def part_for(
    parts: Mapping[str, Mapping[str, Mapping[str, Any]]], channel: str, locale: str | None
) -> Mapping[str, Any]:
    """The part that a message on ``channel`` to a reader of ``locale`` (BCP 47) is made of; {} where there is none.

    The channel's own parts come first; among those the whole locale, then shorter ones down to its language, then
    ``*`` (RFC 4647, section 3.4).
    """
    wanted = _fallbacks(locale)
    for by_locale in (parts.get(channel, {}), parts.get(ANY, {})):
        for name in wanted:
            if name in by_locale:
                return by_locale[name]
    return {}


def normal_locale(locale: str) -> str:
    """A language tag as it is usually written: ``de_at`` is ``de-AT`` (RFC 5646, section 2.1.1)."""
    language, *subtags = locale.replace("_", "-").split("-")
    return "-".join([language.lower(), *map(_normal_subtag, subtags)])


def default_of(parts: Mapping[str, Mapping[str, Part]]) -> Part:
    """The part for all channels and locales that have none of their own."""
    return parts[ANY][ANY]


def others_of(parts: Mapping[str, Mapping[str, Part]]) -> Parts:
    """All parts but the default one."""
    others: Parts = {}
    for channel, by_locale in parts.items():
        for locale, part in by_locale.items():
            if (channel, locale) != (ANY, ANY):
                others.setdefault(channel, {})[locale] = part
    return others


def joined(default: Part, others: Mapping[str, Mapping[str, Part]]) -> Parts:
    """What ``default_of`` and ``others_of`` take apart."""
    parts: Parts = {channel: dict(by_locale) for channel, by_locale in others.items()}
    parts.setdefault(ANY, {})[ANY] = default
    return parts


def _fallbacks(locale: str | None) -> list[str]:
    if not locale:
        return [ANY]
    subtags = normal_locale(locale).split("-")
    return ["-".join(subtags[:length]) for length in range(len(subtags), 0, -1)] + [ANY]


def _normal_subtag(subtag: str) -> str:
    match len(subtag):
        case 2:
            return subtag.upper()
        case 4:
            return subtag.title()
        case _:
            return subtag.lower()
