"""The peers: what others would build the same service from. Each has a folder with its code, settings and locks."""

from enum import StrEnum
from typing import Final, NamedTuple


class Language(StrEnum):
    """What a peer is written in, which says how its libraries are installed."""

    PYTHON = "python"
    NODE = "node"


class Peer(NamedTuple):
    """Another's program, of a worker that sends and an intake that puts messages in; both say ``ready``.

    ``folder``: its name here; ``worker`` and ``intake``: their arguments, a word that names a file of the folder
    with ``{}`` before it. ``sent``: the query that counts what is recorded as sent. ``title``: what it is, in a report.
    ``variables``: what its library wants to see in the environment.
    """

    folder: str
    language: Language
    title: str
    worker: tuple[str, ...]
    intake: tuple[str, ...]
    sent: str
    variables: tuple[tuple[str, str], ...] = ()


_MESSAGES_SENT: Final = "SELECT count(*) FROM messages WHERE status = 'sent'"
_QUIET: Final = ("--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")

CELERY: Final = Peer(
    "celery",
    Language.PYTHON,
    "Celery",
    worker=("-m", "celery", "--app", "tasks", "worker", "--pool", "prefork", "--concurrency", "4", *_QUIET),
    intake=("{}/intake.py",),
    sent=_MESSAGES_SENT,
)
POST_OFFICE: Final = Peer(
    "post_office",
    Language.PYTHON,
    "django-post_office",
    worker=("{}/worker.py",),
    intake=("{}/intake.py",),
    sent="SELECT count(*) FROM post_office_email WHERE status = 0",
    variables=(("DJANGO_SETTINGS_MODULE", "settings"),),
)
BULLMQ: Final = Peer(
    "bullmq",
    Language.NODE,
    "BullMQ",
    worker=("{}/worker.mjs",),
    intake=("{}/intake.mjs",),
    sent=_MESSAGES_SENT,
)
