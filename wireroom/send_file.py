"""``wireroom send-file``: many messages through the API, in batches, each under a key of its own.

The keys derive from the file's content and from the line: given once more, the command sends what was not accepted
yet, and nothing twice, for as long as the API keeps keys (72 hours).
"""

import asyncio
import hashlib
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import typer

from models.errors import WireroomError
from wireroom import options

if TYPE_CHECKING:
    from wireroom.api import Client
    from wireroom.message_files import Fault, Form, Line

_BATCH: Final = 500
_BATCH_BYTES: Final = 8 << 20
_TRIES: Final = 12
"""Of one request: a minute on average, in which an API may be restarted."""
_ROUNDS: Final = 8
_FAULTS_SHOWN: Final = 20
_LATER: Final = frozenset({409, 429, 500, 503})
"""What the API may answer of one message where it stored nothing and another try may end better."""


def run(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
    file: Annotated[str, typer.Argument(help="A CSV or NDJSON file; - is standard input.")],
    check: Annotated[bool, typer.Option("--check", help="Send nothing; end 1 where a line is wrong.")] = False,
    run_name: Annotated[
        str | None,
        typer.Option("--run", help="Go on with that run, by a corrected file; or a new name, to send a file again."),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="It is CSV, whatever its name.")] = False,
    ndjson: Annotated[bool, typer.Option("--ndjson", help="It is NDJSON, whatever its name.")] = False,
    workspace: options.WorkspaceOption = None,
    token: options.TokenOption = None,
    url: options.UrlOption = None,
    as_json: options.AsJson = False,
) -> None:
    """Send the messages of a file. Safe to interrupt and to repeat: what was accepted is not sent again."""
    if csv and ndjson:
        raise typer.BadParameter("--csv or --ndjson, not both")
    from wireroom.message_files import Form, form_of  # noqa: PLC0415 - the API's types take a while to load

    with _opened(file) as source:
        form = Form.CSV if csv else Form.NDJSON if ndjson else form_of(file, source)
        clients = [] if check else [options.client(workspace, token, url, tries=tries) for tries in (1, _TRIES)]
        counted, faults = _examine(source, form)
        tally = Tally(run_name or _name_of(source), counted, faults)
        if clients and not faults:
            _send_all(clients, source, form, tally, as_json=as_json)
    _report(tally, check=check, as_json=as_json)
    raise typer.Exit(0 if tally.is_complete(check=check) else 1)


@dataclass(slots=True)
class Tally:
    """What became of a file's messages. ``before``: how many of the accepted had been accepted before this run."""

    run: str
    messages: int
    faults: "list[Fault]" = field(default_factory=list)
    accepted: int = 0
    before: int = 0
    refused: int = 0
    stopped: str | None = None

    def is_complete(self, *, check: bool) -> bool:
        """Whether everything is as it should be."""
        return not self.faults and (check or self.accepted == self.messages)


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """The file, or what standard input gives, which is kept as long as it is needed: it is read twice."""
    if name == "-":
        with _kept(sys.stdin.buffer) as kept:
            yield kept
        return
    try:
        given = Path(name).open("rb")  # noqa: SIM115 - closed below; an error of the block is none of this one's
    except OSError as error:
        raise typer.BadParameter(f"{name}: {error.strerror}", param_hint="FILE") from None
    with given, given if given.seekable() else _kept(given) as source:
        yield source


def _kept(given: BinaryIO) -> BinaryIO:
    kept = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's to close, which removes it
    shutil.copyfileobj(given, kept)
    kept.seek(0)
    return kept


def _examine(source: BinaryIO, form: "Form") -> "tuple[int, list[Fault]]":
    """How many messages there are, and everything that is wrong with them."""
    from wireroom.message_files import Line, check, read  # noqa: PLC0415 - see ``run``

    counted, faults = 0, []
    for line in read(source, form):
        counted += 1
        faults += check(line) if isinstance(line, Line) else [line]
    return counted, faults


def _name_of(source: BinaryIO) -> str:
    """A name for the run that this very content makes."""
    source.seek(0)
    digest = hashlib.sha256()
    while part := source.read(1 << 20):
        digest.update(part)
    return digest.hexdigest()[:16]


def _send_all(clients: "Sequence[Client]", source: BinaryIO, form: "Form", tally: Tally, *, as_json: bool) -> None:
    """Send everything; what keeps it from that is in the tally."""
    from rich.console import Console  # noqa: PLC0415 - see ``run``
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415 - see ``run``

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    hidden = as_json or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("sending", total=tally.messages)
        try:
            asyncio.run(Sender(clients, tally, lambda count: progress.advance(task, count)).send(source, form))
        except KeyboardInterrupt:
            tally.stopped = "interrupted"
        except WireroomError as error:
            tally.stopped = str(error)


class Sender:
    """Sends lines in batches; ``advance`` is told how many more are through.

    ``clients``: one that asks whether anybody is there, and one with the patience for a busy API.
    """

    def __init__(self, clients: "Sequence[Client]", tally: Tally, advance: Callable[[int], None]) -> None:
        self._first, self._client = clients
        self._tally = tally
        self._advance = advance
        self._newest = ""

    async def send(self, source: BinaryIO, form: "Form") -> None:
        """Send all lines of a file that was found well; raises ApiError."""
        async with self._first, self._client:
            self._newest = await self._newest_message()
            for batch in batches(source, form, self._tally.run):
                await self._insist(batch)

    async def _newest_message(self) -> str:
        """The id of the newest message that there is: ids sort by age. Empty: none, or the token may not read."""
        from wireroom import api, client  # noqa: PLC0415 - see ``run``

        try:
            page = await self._first.api.request("GET", "/messages", params={"limit": 1})
        except client.ApiError as error:
            if error.status == 403:
                return ""
            raise api.shown(error) from error
        except client.WireroomError as error:
            raise api.shown(error) from error
        return str(page["data"][0]["id"]) if page["data"] else ""

    async def _insist(self, batch: "list[Item]") -> None:
        """Send a batch; what of it found the API busy, again."""
        for tried in range(_ROUNDS):
            answers = (await self._client.post("/messages/batch", [one.request for one in batch]))["data"]
            last = tried == _ROUNDS - 1
            later = []
            for item, answer in zip(batch, answers, strict=True):
                if answer["status"] in _LATER and not last:
                    later.append(item)
                else:
                    self._note(item.line, answer)
            self._advance(len(batch) - len(later))
            if not later:
                return
            await asyncio.sleep(random.uniform(0, min(20.0, 0.5 * 2**tried)))  # noqa: S311 - a jitter is no secret
            batch = later

    def _note(self, line: int, answer: dict[str, Any]) -> None:
        from wireroom.message_files import faults_of  # noqa: PLC0415 - see ``run``

        if answer["status"] == 200:
            self._tally.accepted += 1
            self._tally.before += answer["message"]["id"] <= self._newest
        else:
            self._tally.refused += 1
            self._tally.faults += faults_of(line, answer["problem"])


@dataclass(frozen=True, slots=True)
class Item:
    """A line's number, and its request with its key."""

    line: int
    request: dict[str, Any]


def batches(source: BinaryIO, form: "Form", run_name: str) -> Iterator[list[Item]]:
    """The lines with their keys, some at a time.

    A key is made of the run, of what the line says and, where lines say the same, of how many did before it: lines
    that are put in, taken out or moved change no other's.
    """
    from wireroom.message_files import Line, read  # noqa: PLC0415 - see ``run``

    seen = Counter[bytes]()
    batch: list[Item] = []
    size = 0
    for line in read(source, form):
        if not isinstance(line, Line):
            raise WireroomError(f"{line}: the file has changed since it was checked")
        if batch and (len(batch) == _BATCH or size + len(line.request) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(_item(line, run_name, seen))
        size += len(line.request)
    if batch:
        yield batch


def _item(line: "Line", run_name: str, seen: Counter[bytes]) -> Item:
    request = json.loads(line.request)
    said = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).digest()
    seen[said] += 1
    key = hashlib.sha256(b"\0".join([run_name.encode(), said, str(seen[said]).encode()])).hexdigest()
    return Item(line.number, {"idempotencyKey": f"send-file:{key}"} | request)


def _report(tally: Tally, *, check: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_summary(tally)))
        return
    for fault in tally.faults[:_FAULTS_SHOWN]:
        typer.echo(str(fault), err=True)
    if len(tally.faults) > _FAULTS_SHOWN:
        typer.echo(f"... and {len(tally.faults) - _FAULTS_SHOWN:,} more", err=True)
    typer.echo(told(tally, check=check))


def _summary(tally: Tally) -> dict[str, Any]:
    return {
        "run": tally.run,
        "messages": tally.messages,
        "accepted": tally.accepted,
        "acceptedBefore": tally.before,
        "refused": tally.refused,
        "stopped": tally.stopped,
        "errors": [fault._asdict() for fault in tally.faults],
    }


def told(tally: Tally, *, check: bool) -> str:
    """What there is to say of it."""
    noun = "message" if tally.messages == 1 else "messages"
    if tally.faults and not (tally.accepted or tally.refused):
        return f"{tally.messages:,} {noun}, none sent: mend these lines first"
    if check:
        return f"{tally.messages:,} {noun}, nothing wrong"
    said = f"{tally.accepted:,} of {tally.messages:,} {noun} accepted"
    said += f", {tally.before:,} of them before" if tally.before else ""
    said += f"; {tally.refused:,} refused" if tally.refused else ""
    if tally.stopped:
        return f"{said}; {tally.stopped}. Give the same command again, and it goes on where it stopped."
    if tally.refused:
        return f"{said}. With these lines corrected, --run {tally.run} sends no other line again."
    return said
