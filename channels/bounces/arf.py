"""Reports of abuse (RFC 5965): message/feedback-report, as feedback loops send them."""

from typing import Final, NamedTuple

from channels.bounces import addresses
from channels.bounces.mime import MailPart, decoded, walk

_TYPES: Final = frozenset({"message/feedback-report"})
_MOST_RECIPIENTS: Final = 100
_OF_RECIPIENT: Final = ("original-rcpt-to", "removal-recipient")


class Feedback(NamedTuple):
    """What it says. ``kind``: ``abuse``, ``fraud``, ``opt-out``, …; who it was may have been left out."""

    kind: str
    recipients: tuple[str, ...]


def feedback(mail: MailPart) -> Feedback | None:
    """The report in a mail; None where it is none."""
    part = next((part for part in walk(mail) if part.get_content_type() in _TYPES), None)
    if part is None:
        return None
    kind, named = "", list[str]()
    for line in decoded(part).split("\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "feedback-type":
            kind = kind or value.strip().lower()[:40]
        elif name.strip().lower() in _OF_RECIPIENT and len(named) < _MOST_RECIPIENTS:
            address = addresses.first_in(value)
            if address and address not in named:
                named.append(address)
    return Feedback(kind or "abuse", tuple(named))
