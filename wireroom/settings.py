"""The part of the environment that the command line itself reads, and what it hands to its children."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Self

from models.settings import DEFAULT_BIND
from models.vocabulary import Channel

_PREFIX: Final = "WIREROOM_"

KNOWN: Final = frozenset(
    {
        "WIREROOM_AUDIT_DAYS",
        "WIREROOM_BIND",
        "WIREROOM_BOUNCE_DOMAIN",
        "WIREROOM_DATABASE_URL",
        "WIREROOM_DATA_DIR",
        "WIREROOM_DKIM_KEY_FILE",
        "WIREROOM_DKIM_SELECTOR",
        "WIREROOM_EMAIL_FROM",
        "WIREROOM_LMTP_BIND",
        "WIREROOM_LOG_FORMAT",
        "WIREROOM_LOG_LEVEL",
        "WIREROOM_MACHINE_NETS",
        "WIREROOM_METRICS_BIND",
        "WIREROOM_PUBLIC_URL",
        "WIREROOM_RATE_API",
        "WIREROOM_REDIS_URL",
        "WIREROOM_SECRET_KEY",
        "WIREROOM_SMTP_URL",
        "WIREROOM_TELEGRAM_API_URL",
        "WIREROOM_TELEGRAM_BOT_TOKEN",
        "WIREROOM_TOKEN",
        "WIREROOM_VAPID_PRIVATE_KEY_FILE",
        "WIREROOM_VAPID_SUBJECT",
        "WIREROOM_WEBHOOK_ALLOW_NETS",
        "WIREROOM_WORKSPACE",
    }
    | {f"WIREROOM_{limit}_{channel}" for limit in ("MAX_INFLIGHT", "RATE") for channel in Channel}
)
"""Every variable that some part of Wireroom reads."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Where ``wireroom send`` finds the API, and as whom it speaks."""

    url: str
    token: str | None
    workspace: str | None

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read ``WIREROOM_PUBLIC_URL`` (else ``WIREROOM_BIND``), ``WIREROOM_TOKEN``, ``WIREROOM_WORKSPACE``."""
        bind = environ.get("WIREROOM_BIND") or DEFAULT_BIND
        return cls(
            url=environ.get("WIREROOM_PUBLIC_URL") or f"http://{bind}",
            token=environ.get("WIREROOM_TOKEN") or None,
            workspace=environ.get("WIREROOM_WORKSPACE") or None,
        )


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str | None]:
    """The ``WIREROOM_*`` that nothing reads, each with the known name that it is nearest to, where there is one."""
    unknown = sorted(name for name in environ if name.startswith(_PREFIX) and name not in KNOWN)
    return {name: next(iter(get_close_matches(name, sorted(KNOWN), n=1, cutoff=0.8)), None) for name in unknown}


def child_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for our own processes.

    They import our packages and never those of the folder that the command happens to run in, which may well
    have a ``models`` of its own.
    """
    return {**environ, "PYTHONSAFEPATH": "1"}


def fresh_environment(settings: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The same with ``settings`` alone: nothing of a real installation's ``WIREROOM_*`` shows through."""
    inherited = {name: value for name, value in environ.items() if not name.startswith(_PREFIX)}
    return {**child_environment(inherited), **settings}
