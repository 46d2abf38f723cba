"""Texts as the HTTP side fills them: what cannot be filled is refused, what is missing is named."""

from collections.abc import Mapping
from typing import Any, Final

from channels.rendering import RenderError, Template, Texts, TextUnreadable
from models.admission import check_header
from models.errors import Refused
from models.vocabulary import FailureReason

_LARGEST_BODY: Final = 2 << 20  # characters
_LONGEST_SUBJECT: Final = 998  # characters: a line of a mail (RFC 5322, section 2.1.1)


def compiled(subject: str | None, body: str | None, form: str, *, below: str = "") -> Texts:
    """Both texts; raises Refused, which points at ``<below>/subject`` or ``<below>/body``."""
    try:
        return Texts(subject, body, form)
    except TextUnreadable as error:
        raise Refused(FailureReason.RENDER_ERROR, str(error), f"{below}/{error.what}") from None


def fill_subject(texts: Texts, variables: Mapping[str, Any]) -> str | None:
    """The subject; raises Refused where it, or the body, cannot be filled or gets too long."""
    subject = None
    if texts.subject is not None:
        _check_size(texts.subject, variables, _LONGEST_SUBJECT, "/subject")
        subject = texts.subject.fill(variables)
        check_header(subject, "/subject")
    if texts.body is not None:
        _check_size(texts.body, variables, _LARGEST_BODY, "/body")
    return subject


def missing(texts: Texts, variables: Mapping[str, Any]) -> list[str]:
    """A warning for each name that the texts ask for and that has no value."""
    return [f"{name} has no value; it is sent empty" for name in sorted(texts.names - variables.keys())]


def _check_size(text: Template, variables: Mapping[str, Any], most: int, pointer: str) -> None:
    """Raises Refused where the filled text is too long: a short one may ask for a long value many times."""
    try:
        size = text.size(variables)
    except RenderError as error:
        raise Refused(FailureReason.RENDER_ERROR, str(error), pointer) from None
    if size > most:
        said = f"with the contact's values it is longer than {most:,} characters"
        raise Refused(FailureReason.RENDER_ERROR, said, pointer)
