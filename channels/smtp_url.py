"""``WIREROOM_SMTP_URL``: where the SMTP server is, and how it is spoken to."""

import ipaddress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from models.errors import InvalidSetting

VARIABLE: Final = "WIREROOM_SMTP_URL"


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
    """One SMTP server. ``ca_file``: the only authorities trusted, instead of the system's."""

    host: str
    port: int
    security: Security
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None


def parse_smtp_url(url: str) -> SmtpServer:
    """Read ``scheme://user:password@host:port?ca=path``, user and password percent-encoded.

    ``smtp`` (port 587) requires STARTTLS, ``smtps`` (465) begins with TLS, ``smtp+plain`` (25) has none. Raises
    InvalidSetting, which names the variable and never repeats the URL: it holds a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidSetting(f"{VARIABLE}: not a URL, or its port is no number up to 65535") from None
    try:
        security = Security(parts.scheme)
    except ValueError:
        raise InvalidSetting(f"{VARIABLE}: must begin with smtp://, smtps:// or smtp+plain://") from None
    if not parts.hostname:
        raise InvalidSetting(f"{VARIABLE}: names no host")
    if parts.path not in ("", "/") or parts.fragment:
        raise InvalidSetting(f"{VARIABLE}: has a path; percent-encode / ? # @ : in user and password")
    username, password = _credentials(parts, security)
    return SmtpServer(
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[security],
        security=security,
        username=username,
        password=password,
        ca_file=_ca_file(parts, security),
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


def _ca_file(parts: SplitResult, security: Security) -> str | None:
    ca_file = None
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name != "ca" or not value:
            raise InvalidSetting(f"{VARIABLE}: the only parameter is ca, the path of a file of CA certificates")
        ca_file = value
    if ca_file is not None and security is Security.NONE:
        raise InvalidSetting(f"{VARIABLE}: ca has no meaning without TLS")
    return ca_file
