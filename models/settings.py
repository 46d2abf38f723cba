"""Where the data lives: the part of the environment that every process shares."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit

from models.errors import InvalidSetting

DEFAULT_BIND = "127.0.0.1:8080"

_HIGHEST_PORT = 65535
_LOG_LEVELS = frozenset({"debug", "info", "warning", "error"})


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Data directory, database, broker, secret keys and log form; the table is in README.md."""

    data_dir: Path
    database_url: str
    redis_url: str
    broker_is_embedded: bool
    secret_keys: tuple[str, ...]
    log_level: str
    log_format: str

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read ``WIREROOM_*``; raises InvalidSetting, naming the variable."""
        data_dir = Path(environ.get("WIREROOM_DATA_DIR") or "var").absolute()
        redis_url = environ.get("WIREROOM_REDIS_URL", "")
        level = environ.get("WIREROOM_LOG_LEVEL", "info").lower()
        if level not in _LOG_LEVELS:
            raise InvalidSetting(f"WIREROOM_LOG_LEVEL: {level!r} is none of {', '.join(sorted(_LOG_LEVELS))}")
        log_format = environ.get("WIREROOM_LOG_FORMAT", "")
        if log_format not in ("", "json", "console"):
            raise InvalidSetting(f"WIREROOM_LOG_FORMAT: {log_format!r} is neither json nor console")
        keys = environ.get("WIREROOM_SECRET_KEY", "")
        return cls(
            data_dir=data_dir,
            database_url=environ.get("WIREROOM_DATABASE_URL") or f"sqlite:///{data_dir / 'wireroom.db'}",
            redis_url=redis_url or f"unix://{quote(str(broker_socket(data_dir)))}",
            broker_is_embedded=not redis_url,
            secret_keys=tuple(key.strip() for key in keys.split(",") if key.strip()),
            log_level=level,
            log_format=log_format,
        )


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Where spans go: the address of an OTLP collector by HTTP. The rest of ``OTEL_*`` OpenTelemetry reads itself."""

    endpoint: str

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self | None:
        """Read ``OTEL_EXPORTER_OTLP_ENDPOINT`` and the like as their specification says; None: nowhere.

        https://opentelemetry.io/docs/specs/otel/protocol/exporter/ Raises InvalidSetting.
        """
        base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
        endpoint = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip() or (base and _below(base))
        is_off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        if not endpoint or is_off or environ.get("OTEL_TRACES_EXPORTER", "").strip() == "none":
            return None
        for variable in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
            if environ.get(variable, "").strip() not in ("", "http/protobuf"):
                raise InvalidSetting(f"{variable}: {environ[variable]!r} is not http/protobuf, which alone is spoken")
        if urlsplit(endpoint).scheme not in ("http", "https"):
            # Not the value: it may hold credentials.
            said = "no http:// or https:// address, as in http://127.0.0.1:4318"
            raise InvalidSetting(f"OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: {said}")
        return cls(endpoint)


def _below(base: str) -> str:
    return f"{base.rstrip('/')}/v1/traces"


def broker_socket(data_dir: Path) -> Path:
    """Where the embedded broker listens: in the data directory, or at a short path where that is too long.

    A Unix socket's address holds 107 bytes (unix(7), ``sun_path``).
    """
    path = data_dir / "broker.sock"
    if len(os.fsencode(path)) <= 107:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"wireroom-{os.getuid()}-{digest}.sock"


def public_url(environ: Mapping[str, str] = os.environ) -> str:
    """How the world reaches the HTTP server (``WIREROOM_PUBLIC_URL``), without a slash at its end.

    Raises InvalidSetting.
    """
    url = (environ.get("WIREROOM_PUBLIC_URL") or f"http://{environ.get('WIREROOM_BIND') or DEFAULT_BIND}").rstrip("/")
    parts = urlsplit(url)
    is_plain = url.isascii() and url.isprintable() and not set(url) & set(' "<>')  # it stands in headers of mails
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment or not is_plain:
        raise InvalidSetting(
            f"WIREROOM_PUBLIC_URL: {url!r} is no http:// or https:// address, as in https://mail.example.org"
        )
    return url


def place(variable: str, bind: str, example: str) -> tuple[str, int]:
    """Where to listen, as ``host:port`` says; raises InvalidSetting, naming the variable."""
    host, _, port = bind.rpartition(":")
    if not host or not is_port(port):
        raise InvalidSetting(f"{variable}: {bind!r} is no host:port, as in {example}")
    return host.strip("[]"), int(port)


def number(environ: Mapping[str, str], name: str) -> float | None:
    """A number of 1 or more, None where there is none; raises InvalidSetting, naming the variable."""
    text = environ.get(name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise InvalidSetting(f"{name}: {text!r} is no number") from None
    if not 1 <= value < float("inf"):
        raise InvalidSetting(f"{name}: must be 1 or more")
    return value


def is_port(text: str) -> bool:
    """Whether ``text`` is the number of a port, or 0 for any that is free."""
    return text.isascii() and text.isdigit() and int(text) <= _HIGHEST_PORT
