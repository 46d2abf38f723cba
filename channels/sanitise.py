"""Making HTML harmless: what of it may be shown inside of another site's page.

By an allow-list, with nh3 (ammonia), whose parser reads HTML as browsers do. Pictures are not on it: they tell their
server who reads what, and when.
"""

from collections.abc import Mapping
from typing import Final

import nh3
from yarl import URL

_TEXT_TAGS: Final = ("b", "br", "code", "del", "em", "i", "ins", "mark", "s", "small", "strong", "sub", "sup", "u")
_BLOCK_TAGS: Final = ("blockquote", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "ul")
# What stands between these is no text of the message.
_SILENT_TAGS: Final = (
    *("iframe", "math", "noembed", "noframes", "noscript", "object"),
    *("script", "style", "svg", "template", "textarea", "title"),
)
_LINK_SCHEMES: Final = frozenset({"http", "https", "mailto"})
MOST_TAGS: Final = 2_000
"""Of an HTML that ``harmless`` takes: parsing tags that stand within each other takes the square of their number."""

_WEB: Final = frozenset({"http", "https"})
_ATTRIBUTES: Final[Mapping[str, set[str]]] = {"*": {"dir", "lang", "title"}, "a": {"href"}}

_CLEANER: Final = nh3.Cleaner(
    tags={"a", *_TEXT_TAGS, *_BLOCK_TAGS},
    clean_content_tags=set(_SILENT_TAGS),
    attributes=dict(_ATTRIBUTES),
    url_schemes=set(_LINK_SCHEMES),
    url_relative="deny",  # it would mean another place on every site
    link_rel="noopener noreferrer",
    set_tag_attribute_values={"a": {"target": "_blank"}},
)


def harmless(html: str) -> str:
    """The HTML without anything that runs, loads, or looks like a part of the page around it.

    Raises ValueError where it has too many tags, those that end included.
    """
    if html.count("<") > MOST_TAGS:
        raise ValueError(f"its body has more than {MOST_TAGS:,} tags")
    return _CLEANER.clean(html)


def check_web_url(text: str) -> str:
    """An absolute ``http`` or ``https`` URL, as it was given; raises ValueError with a reason that does not repeat it.

    A browser drops tabs and line breaks inside of a URL (WHATWG URL, section 4.4), so none may hold them.
    """
    try:
        url = URL(text)
    except ValueError:
        raise ValueError("is no URL") from None
    if not text.isprintable() or " " in text:
        raise ValueError("holds a blank or a control character")
    if url.scheme not in _WEB or not url.host:
        raise ValueError("is no absolute http or https URL")
    return text
