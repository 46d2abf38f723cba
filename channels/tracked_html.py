"""HTML mails whose links lead through us, and that tell when they were opened.

The number of a link says the how-manieth ``href`` of an ``a`` or ``area`` of the text it is, from 0, and counts those
that are not led through us: it depends on the text alone, so a link's target can be read out of the stored text again.
Where values stand inside of a target they are filled in, then as now. Nothing but those targets is touched.

Comments are no markup, those of Outlook (``<!--[if mso]>``) neither: their links stay as they are.
"""

import html
import re
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from html.entities import html5
from itertools import accumulate
from typing import Final, NamedTuple

from yarl import URL

from models.admission import OPT_OUT_VARIABLE, PREFERENCES_VARIABLE
from models.tokens import Links

_MOST_LINKS: Final = 1000
"""Those behind stay as they are."""

_S: Final = r"[ \t\n\f\r]"
_ATTRIBUTE_SOURCE: Final = (
    rf"[ \t\n\f\r/]*+(=[^ \t\n\f\r/>=]*+|[^ \t\n\f\r/>=]++)"
    rf"""(?:{_S}*+={_S}*+(?:"([^"]*+)"|'([^']*+)'|(?!["'])([^ \t\n\f\r>]*+))|(?!{_S}*+=))"""
)
_ATTRIBUTE: Final = re.compile(_ATTRIBUTE_SOURCE)
_MARKUP: Final = re.compile(
    r"<(?:(?P<comment>!--)|(?P<other>[!?]|/(?![A-Za-z]))"
    rf"|(?P<end>/?)(?P<name>[A-Za-z][^ \t\n\f\r/>]*+)(?P<attributes>(?:{_ATTRIBUTE_SOURCE})*+)"
    r"[ \t\n\f\r/]*+(?P<close>>?))"
)
"""What a browser takes for markup (HTML, section 13.2.5), each character in one way alone."""
_COMMENT_END: Final = re.compile(r"--!?>")
_RAW: Final = ("iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp")
_RAW_END: Final[dict[str, re.Pattern[str]]] = {
    name: re.compile(rf"</{name}(?=[ \t\n\f\r/>])", re.IGNORECASE) for name in _RAW
}
_RAW_END["plaintext"] = re.compile("(?!)")  # nothing ends it

_REFERENCE: Final = re.compile(r"&(?:#(?:[0-9]++|[xX][0-9A-Fa-f]++);?|([A-Za-z][A-Za-z0-9]*+)(;|(?!=)))")
_HUGE: Final = 20  # so many digits are no character, and may be more than Python reads
_IGNORED_IN_URL: Final = re.compile(r"[\t\n\r]")
_WEB: Final = re.compile(r"https?://[^/?#\\\s]", re.IGNORECASE)
_READY: Final = re.compile(r"[!#-;=?-\[\]_a-z~]+")
"""An address as a header takes it: ASCII without what no address holds (RFC 3986, appendix A)."""

_PIXEL: Final = "pixel:"
_PIXEL_IMAGE: Final = (
    '<img src="',
    _PIXEL,
    '" width="1" height="1" alt="" style="display:block;width:1px;height:1px;border:0">',
)


class _Link(NamedTuple):
    """Where an ``href``'s value stands, and its pieces: literals and names in turn."""

    start: int
    end: int
    pieces: Sequence[str]

    @property
    def is_fixed(self) -> bool:
        """Whether it leads everybody to the same place."""
        return len(self.pieces) == 1

    def target(self, variables: Mapping[str, str]) -> str:
        """The address, as a browser reads it."""
        filled = [
            html.escape(variables.get(piece, "")) if number % 2 else piece for number, piece in enumerate(self.pieces)
        ]
        return unescape_attribute("".join(filled))


class TrackedHtml:
    """An HTML text, read once. ``source``: literals and names in turn, a literal first and last."""

    def __init__(self, source: Sequence[str]) -> None:
        literals = source[::2]
        # A name is one mark, so that places in the marked text are places in the source.
        self._marked = "\0".join([literal.replace("\0", "\ufffd") for literal in literals])
        self._text = "\0".join(literals)
        self._names = source[1::2]
        self._marks = list(accumulate(len(literal) + 1 for literal in literals[:-1]))
        self._body_end = len(self._text)
        self._hrefs: list[_Link | None] = []
        self._read()
        self._followed = [
            (number, _name(number), link)
            for number, link in enumerate(self._hrefs)
            if link is not None and (not link.is_fixed or web_target(link.target({})) is not None)
        ]

    def target(self, number: int, variables: Mapping[str, str]) -> str | None:
        """Where the link of that number leads to; None where there is none, or it leads to no web address."""
        link = self._hrefs[number] if 0 <= number < len(self._hrefs) else None
        return None if link is None else web_target(link.target(variables))

    def pieces(self, *, opens: bool, clicks: bool) -> list[str]:
        """The text with names, whose values ``values`` gives, for what is tracked."""
        edits = [(self._body_end, self._body_end, list(_PIXEL_IMAGE))] if opens else []
        if clicks:
            edits += [(link.start, link.end, ["", name, ""]) for _, name, link in self._followed]
        pieces = [""]
        position = 0
        for start, end, put in sorted(edits):
            _extend(pieces, self._slice(position, start))
            _extend(pieces, put)
            position = end
        _extend(pieces, self._slice(position, len(self._text)))
        return pieces

    def values(
        self, links: Links, variables: Mapping[str, str], *, opens: bool, clicks: bool, left: Collection[str] = ()
    ) -> dict[str, str]:
        """What ``pieces`` asks for beside the text's own names. ``left``: addresses that are not led through us."""
        found = {_PIXEL: links.pixel()} if opens else {}
        if clicks:
            for number, name, link in self._followed:
                if link.is_fixed and not left:
                    found[name] = links.click(number)
                else:
                    target = link.target(variables)
                    web = web_target(target)
                    found[name] = target if web is None or web in left else links.click(number)
        return found

    def _slice(self, start: int, end: int) -> list[str]:
        """A part of the source as literals and names in turn."""
        pieces = []
        for place in range(bisect_right(self._marks, start), bisect_right(self._marks, end)):
            pieces += [self._text[start : self._marks[place] - 1], self._names[place]]
            start = self._marks[place]
        return [*pieces, self._text[start:end]]

    def _read(self) -> None:
        """Note every link; what is not closed takes all that follows along."""
        text = self._marked
        found = _MARKUP.search(text)
        while found is not None:
            end = self._end_of(found)
            if end is None:
                return
            found = _MARKUP.search(text, end)

    def _end_of(self, found: re.Match[str]) -> int | None:
        """Where the markup ends, its link noted; None where it does not."""
        if found["comment"]:
            return self._end_of_comment(found.end())
        if found["other"]:
            end = self._marked.find(">", found.end())
            return None if end < 0 else end + 1
        if not found["close"]:
            return None
        name = found["name"].lower()
        if found["end"]:
            if name == "body":
                self._body_end = found.start()
        elif name in ("a", "area"):
            self._note(found)
        elif name in _RAW_END:
            closing = _RAW_END[name].search(self._marked, found.end())
            return None if closing is None else closing.start()
        return found.end()

    def _end_of_comment(self, start: int) -> int | None:
        for empty in (">", "->"):
            if self._marked.startswith(empty, start):
                return start + len(empty)
        closing = _COMMENT_END.search(self._marked, start)
        return None if closing is None else closing.end()

    def _note(self, found: re.Match[str]) -> None:
        for attribute in _ATTRIBUTE.finditer(self._marked, *found.span("attributes")):
            if attribute[1].lower() == "href":
                if len(self._hrefs) < _MOST_LINKS:
                    self._hrefs.append(self._link(attribute))
                return

    def _link(self, attribute: re.Match[str]) -> _Link | None:
        """None where it is never led through us: there is nothing, the way out, or a value that no quotes enclose."""
        group = attribute.lastindex or 0
        if group == 1:
            return None
        start, end = attribute.span(group)
        pieces = self._slice(start, end)
        names = pieces[1::2]
        if OPT_OUT_VARIABLE in names or PREFERENCES_VARIABLE in names or (names and attribute[4] is not None):
            return None
        return _Link(start, end, pieces)


def _name(number: int) -> str:
    return f"click:{number}"  # as no text's own name can be


def _extend(pieces: list[str], more: Sequence[str]) -> None:
    pieces[-1] += more[0]
    pieces += more[1:]


def unescape_attribute(value: str) -> str:
    """The value of an attribute as a browser reads it: ``&copy=1`` is no sign (HTML, section 13.2.5.73)."""
    return _REFERENCE.sub(_character, value) if "&" in value else value


def _character(reference: re.Match[str]) -> str:
    name, end = reference[1], reference[2]
    if name is None:
        return html.unescape(reference[0]) if len(reference[0]) < _HUGE else "\ufffd"
    return html5.get(name + end, reference[0])


def web_target(address: str) -> str | None:
    """An http or https address in ASCII, as a header takes it; None for any other.

    One that is in ASCII already stays as it is, to the letter: it may be signed.
    """
    address = _IGNORED_IN_URL.sub("", address.strip(" \t\n\f\r"))
    if not _WEB.match(address):
        return None
    try:
        target = str(URL(address.replace(" ", "%20")))
    except ValueError:
        return None
    if _READY.fullmatch(address):
        return address
    return target if _WEB.match(target) and _READY.fullmatch(target) else None
