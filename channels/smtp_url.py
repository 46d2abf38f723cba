"""``WIREROOM_SMTP_URL``: where the SMTP server is, and how it is spoken to."""

import ipaddress
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from models.errors import InvalidSetting

VARIABLE: Final = "WIREROOM_SMTP_URL"

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMBER: Final = re.compile(r"[0-9]{1,3}")
_MOST_CONNECTIONS: Final = 100


class Security(StrEnum):
    """When TLS begins. The value is the URL's scheme."""

    STARTTLS = "smtp"
    """After STARTTLS, which the server must offer (RFC 3207)."""
    IMPLICIT = "smtps"
    """From the first byte (RFC 8314, section 3.3)."""
    NONE = "smtp+plain"
    """Never."""


_DEFAULT_PORTS: Final = {Security.STARTTLS: 587, Security.IMPLICIT: 465, Security.NONE: 25}


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """One SMTP server. ``ca_file``: the only authorities trusted, instead of the system's.

    ``connections``: how many it takes of us at once, all worker processes together; None where nobody said.
    """

    host: str
    port: int
    security: Security
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    connections: int | None = None


def parse_smtp_url(url: str) -> SmtpServer:
    """Read ``scheme://user:password@host:port?ca=path&connections=4``, user and password percent-encoded.

    ``smtp`` (port 587) requires STARTTLS, ``smtps`` (465) begins with TLS, ``smtp+plain`` (25) has none. Raises
    InvalidSetting, which names the variable and never repeats the URL: it holds a password.
    """
    try:
        if _CONTROL.search(unquote(url)):
            raise ValueError
        parts = urlsplit(url)
        port = parts.port
        if port == 0:
            raise ValueError
    except ValueError:
        raise InvalidSetting(f"{VARIABLE}: not a URL, or its port is no number from 1 to 65535") from None
    try:
        security = Security(parts.scheme)
    except ValueError:
        raise InvalidSetting(f"{VARIABLE}: must begin with smtp://, smtps:// or smtp+plain://") from None
    if not parts.hostname:
        raise InvalidSetting(f"{VARIABLE}: names no host")
    if parts.path not in ("", "/") or parts.fragment:
        raise InvalidSetting(f"{VARIABLE}: has a path; percent-encode / ? # @ : in user and password")
    username, password = _credentials(parts, security)
    ca_file, connections = _parameters(parts, security)
    return SmtpServer(
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[security],
        security=security,
        username=username,
        password=password,
        ca_file=ca_file,
        connections=connections,
    )


def _credentials(parts: SplitResult, security: Security) -> tuple[str | None, str | None]:
    if parts.username is None and parts.password is None:
        return None, None
    if not parts.username or not parts.password:
        raise InvalidSetting(f"{VARIABLE}: needs both a user and a password, or neither")
    if security is Security.NONE and not _is_loopback(parts.hostname or ""):
        raise InvalidSetting(f"{VARIABLE}: smtp+plain:// would send the password in the clear to another machine")
    return unquote(parts.username), unquote(parts.password)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parameters(parts: SplitResult, security: Security) -> tuple[str | None, int | None]:
    given: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in ("ca", "connections") or not value or name in given:
            raise InvalidSetting(
                f"{VARIABLE}: the only parameters are ca, the path of a file of CA certificates, and connections, "
                "each given once"
            )
        given[name] = value
    if "ca" in given and security is Security.NONE:
        raise InvalidSetting(f"{VARIABLE}: ca has no meaning without TLS")
    number = given.get("connections")
    if number is None:
        return given.get("ca"), None
    if not _NUMBER.fullmatch(number) or not 1 <= int(number) <= _MOST_CONNECTIONS:
        raise InvalidSetting(f"{VARIABLE}: connections must be a number from 1 to {_MOST_CONNECTIONS}")
    return given.get("ca"), int(number)
