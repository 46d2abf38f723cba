"""The rows of the bench, in the order in which they are taken: what of ours is compared with what."""

from collections.abc import Awaitable, Callable
from enum import Enum, auto
from functools import partial
from typing import Final, NamedTuple

from bench import ingest
from bench.peers.catalogue import BULLMQ, CELERY, POST_OFFICE, Peer
from bench.results import RowResult
from bench.scenarios import at_rest, growing, taking_in
from bench.scenarios.sending import against_loop, against_peer
from bench.stage import Stage
from bench.ways import EMAIL, WEBHOOK, Way

Measure = Callable[[Stage], Awaitable[list[RowResult]]]


class Store(Enum):
    """What the installation stores in."""

    POSTGRES = auto()
    SQLITE = auto()


class Row(NamedTuple):
    """What is measured in one go, which may make several rows of a report. ``quick``: with ``--quick``, too.

    ``way``: the one whose worker ``--profile`` looks into, where there is one.
    """

    ids: tuple[str, ...]
    measure: Measure
    quick: bool = False
    store: Store = Store.POSTGRES
    way: Way | None = None


def _loop(row_id: str, way: Way, module: str, rival: str) -> list[Row]:
    """Against a bare loop; once on each kind of database."""

    def row(shown: str, store: Store, *, quick: bool) -> Row:
        measure = partial(against_loop, row_id=shown, way=way, module=module, rival=rival)
        return Row((shown,), measure, quick=quick, store=store, way=way)

    on_sqlite = row(f"{row_id}@sqlite", Store.SQLITE, quick=row_id == "email/aiosmtplib")
    return [row(row_id, Store.POSTGRES, quick=True), on_sqlite]


def _peer(row_id: str, way: Way, peer: Peer, rival: str, *, quick: bool = False) -> Row:
    return Row((row_id,), partial(against_peer, row_id=row_id, way=way, peer=peer, rival=rival), quick=quick)


_LOOPS: Final = (
    *_loop("email/aiosmtplib", EMAIL, "bench.floors.aiosmtplib_loop", "aiosmtplib in a loop"),
    *_loop("email/pipelined", EMAIL, "bench.floors.pipelined_loop", "the channel's own client in a loop"),
    *_loop("webhook/aiohttp", WEBHOOK, "bench.floors.aiohttp_loop", "aiohttp in a loop"),
)
ROWS: Final = (
    *(row for row in _LOOPS if row.store is Store.POSTGRES),
    _peer("email/celery", EMAIL, CELERY, "Celery and smtplib", quick=True),
    _peer("email/bullmq", EMAIL, BULLMQ, "BullMQ and nodemailer", quick=True),
    _peer("email/post_office", EMAIL, POST_OFFICE, "django-post_office"),
    _peer("webhook/celery", WEBHOOK, CELERY, "Celery and requests"),
    _peer("webhook/bullmq", WEBHOOK, BULLMQ, "BullMQ and undici"),
    Row(("email/single",), taking_in.singles),
    Row(("email/two-workers",), growing.workers),
    Row(("post/echo",), taking_in.echo),
    Row(("intake/insert",), taking_in.batches),
    Row(ingest.IDS, ingest.measure, quick=True),
    Row((at_rest.LATENCY, at_rest.LATENCY_P99), at_rest.latency),
    Row((at_rest.MEMORY,), at_rest.memory),
    Row((at_rest.CPU,), at_rest.cpu),
    Row(("email/growth",), growing.rows),
    *(row for row in _LOOPS if row.store is Store.SQLITE),
)
IDS: Final = tuple(row_id for row in ROWS for row_id in row.ids)
