"""The forms that short texts of a request have: each a pattern for machines, and the words for who sent another.

Python's ``$`` also stands before a last line break: hence the look-aheads.
"""

from collections.abc import Mapping
from typing import Final

NO_CONTROLS: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$(?!\n)"
"""One line without control characters or separators of lines."""
NO_CONTROLS_OR_EMPTY: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$(?!\n)"

LOCALE: Final = r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$(?!\n)"
"""A language tag (RFC 5646, section 2.1), as far as it can be told without the registry; also with ``_``."""
LOCALE_OR_EMPTY: Final = r"^(?:[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*)?$(?!\n)"
LOCALE_OR_STAR: Final = r"^([A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*|\*)$(?!\n)"

TIMEZONE: Final = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$(?!\n)"
"""A name of the IANA time zone database."""
TIMEZONE_OR_EMPTY: Final = r"^[A-Za-z0-9_+/-]*$(?!\n)"

BASIC_AUTH: Final = r"^[^:\x00-\x1f\x7f]+:[^\x00-\x1f\x7f]+$(?!\n)"
MEDIA_TYPE: Final = r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+$(?!\n)"
CONTENT_ID: Final = r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]+$(?!\n)"

NUMBER: Final = r"^[0-9]{1,18}$(?!\n)"
VISIBLE_ASCII: Final = r"^[!-~]+$(?!\n)"

_CONTROL: Final = "holds a control character"
_TAG: Final = "must be a language tag, as in en or pt-BR"
_ZONE: Final = "must be a name of the IANA time zone database, as in Europe/Lisbon"

WORDS: Final[Mapping[str, str]] = {
    NO_CONTROLS: _CONTROL,
    NO_CONTROLS_OR_EMPTY: _CONTROL,
    LOCALE: _TAG,
    LOCALE_OR_EMPTY: _TAG,
    LOCALE_OR_STAR: f"{_TAG}, or *",
    TIMEZONE: _ZONE,
    TIMEZONE_OR_EMPTY: _ZONE,
    BASIC_AUTH: "must be user:password, without control characters",
    MEDIA_TYPE: "must be a media type, as in application/pdf",
    NUMBER: "must be a number",
    VISIBLE_ASCII: "holds a character that is not visible ASCII",
    CONTENT_ID: "holds a character that no Content-ID has",
}
