"""``wireroom demo``: the main job, seen. Local sinks, real messages, and the proof that they arrived."""

import asyncio
import json
import shlex
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final

import typer
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from models.errors import InvalidSetting
from models.vocabulary import Channel
from wireroom import data_dir, demo_bot, demo_story
from wireroom.demo_devices import Devices
from wireroom.demo_readers import Readers
from wireroom.demo_scene import Scene
from wireroom.demo_sinks import Sinks
from wireroom.demo_view import Board, render, step
from wireroom.output import console
from wireroom.ports import free_port
from wireroom.settings import fresh_environment
from wireroom.up import FINISHING, CannotStart, Stack, first_done, stop_on_signals

_FRAME_S: Final = 0.1
_LINE_EVERY_S: Final = 0.5
_FAULTS_SHOWN: Final = 20
_PROVED: Final = {
    Channel.EMAIL: "subject, both parts, headers, attachment",
    Channel.PUSH: "opened with the browsers' keys, a gone one forgotten",
    Channel.TELEGRAM: "text, buttons, and a long one whole when joined",
    Channel.ONSITE: "read back from the inboxes, without the scripts",
    Channel.WEBHOOK: "body, and every signature verifies",
}


@dataclass(frozen=True, slots=True)
class Options:
    """``folder``: where to keep the data, else a temporary folder. ``once``: end when all have arrived."""

    folder: Path | None = None
    once: bool = False
    as_json: bool = False


class _End(Enum):
    """How a demo ended: everything arrived, or not all did, or it was stopped before that was known."""

    PROVED = auto()
    FAULTY = auto()
    STOPPED = auto()


def run(options: Options) -> int:
    """Run it; the exit code: 0 where everything arrived as it was sent, or a person stopped it. Raises WireroomError.

    Stopped before its end, one that runs ``once`` is 1: it has proved nothing.
    """
    if options.folder is not None:
        _make_fresh(options.folder.absolute())
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="wireroom-demo-"))).absolute()
    end = _End.FAULTY
    try:
        end = asyncio.run(_Demo(options, folder).run())
    except KeyboardInterrupt:  # it came before the demo's own handler stood
        end = _End.STOPPED
    finally:
        if end is _End.FAULTY:
            console(stderr=True).print(f"What happened is in {folder / 'wireroom.log'}", markup=False, soft_wrap=True)
        elif options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    if end is _End.STOPPED:
        console(stderr=options.as_json).print("Stopped.")
    return 0 if end is _End.PROVED or (end is _End.STOPPED and not options.once) else 1


def _make_fresh(folder: Path) -> None:
    try:
        data_dir.make(folder)
        is_empty = not any(folder.iterdir())
    except (InvalidSetting, OSError) as error:
        said = data_dir.obstacle(folder) or str(error)
        raise CannotStart(f"--dir: {said}; name a folder that this user may write, or leave --dir out") from error
    if not is_empty:
        raise CannotStart(f"--dir: {folder} is not empty: the demo begins with a fresh folder")


class _Demo:
    def __init__(self, options: Options, folder: Path) -> None:
        self._options = options
        self._folder = folder
        # With --json, standard output is for the JSON alone.
        self._console = console(stderr=options.as_json)
        self._end = _End.STOPPED

    async def run(self) -> _End:
        with (self._folder / "wireroom.log").open("ab") as log:
            async with Sinks() as sinks:
                stack = Stack(_environment(self._folder, sinks), workers=1, output=log)
                stopped, _ = stop_on_signals(stack)
                try:
                    await first_done(self._perform(stack, sinks), stopped.wait())
                finally:
                    if stopped.is_set():
                        self._console.print(FINISHING, highlight=False)
                    await stack.stop()
                return self._end

    async def _perform(self, stack: Stack, sinks: Sinks) -> None:
        began = time.monotonic()
        self._console.print("Starting the API, a worker, the keeper and the broker on a fresh folder …", style="dim")
        await stack.start()
        await stack.wait_ready()
        self._console.print(f"Ready after {time.monotonic() - began:.1f} s.", style="dim")
        scene = await Scene.furnish(stack, sinks, f"[bold]Wireroom demo[/] · {stack.listens_at}")
        readers = Readers(scene.hook["url"], scene.hook["signingKey"], sinks.arrivals, scene.ending)
        devices = Devices(scene, stack.listens_at)
        await first_done(scene.play(), readers.run(), devices.run(), scene.watch(), self._show(scene.board))
        self._report(stack, scene)
        self._end = _End.FAULTY if scene.faults else _End.PROVED
        if not scene.faults and not self._options.once:
            await first_done(readers.run(), devices.run(), scene.watch(), self._tell_changes(scene.board))

    async def _show(self, board: Board) -> None:
        """The live board on a terminal, else a line now and then, until cancelled."""
        if not self._console.is_terminal:
            await self._follow(board)
        with Live(render(board, self._console), console=self._console, auto_refresh=False) as live:
            try:
                while True:
                    live.update(render(board, self._console), refresh=True)
                    await asyncio.sleep(_FRAME_S)
            finally:
                live.update(render(board, self._console), refresh=True)

    async def _follow(self, board: Board) -> None:
        """A line whenever the totals have changed."""
        said = board.totals()
        while True:
            if board.totals() != said:
                said = board.totals()
                self._console.print(board.line(), highlight=False, soft_wrap=True)
            await asyncio.sleep(_LINE_EVERY_S)

    async def _tell_changes(self, board: Board) -> None:
        """A line for each step of each message, until cancelled."""
        known = {one: row.status for one, row in board.rows.items()}
        while True:
            for one, row in board.rows.items():
                if known.get(one) is not row.status:
                    known[one] = row.status
                    self._console.print(step(row), soft_wrap=True)
            await asyncio.sleep(_FRAME_S)

    def _report(self, stack: Stack, scene: Scene) -> None:
        if self._options.as_json:
            typer.echo(json.dumps(_summary(stack, scene)))
        elif scene.faults:
            self._console.print(f"[bold red]{len(scene.faults)} faults[/]")
            for fault in scene.faults[:_FAULTS_SHOWN]:
                self._console.print(fault, markup=False, highlight=False, soft_wrap=True)
        else:
            self._console.print(_proof(stack, scene, once=self._options.once))
            if not self._options.once:
                self._console.print("\nSend one yourself, and watch it here (Ctrl-C ends the demo):\n", style="bold")
                self._console.print(_curl(stack, scene), markup=False, highlight=False, soft_wrap=True)
                self._console.print()


def _environment(folder: Path, sinks: Sinks) -> dict[str, str]:
    return fresh_environment(
        {
            "WIREROOM_DATA_DIR": str(folder),
            "WIREROOM_BIND": f"127.0.0.1:{free_port()}",
            "WIREROOM_SMTP_URL": f"smtp+plain://127.0.0.1:{sinks.smtp_port}",
            "WIREROOM_EMAIL_FROM": demo_story.SENDER,
            "WIREROOM_WEBHOOK_ALLOW_NETS": "127.0.0.0/8",
            "WIREROOM_TELEGRAM_BOT_TOKEN": demo_bot.TOKEN,
            "WIREROOM_TELEGRAM_API_URL": sinks.bot_api.url,
        }
    )


def _summary(stack: Stack, scene: Scene) -> dict[str, object]:
    totals = Counter[str]()
    for (_, status), count in scene.board.totals().items():
        totals[status.value] += count
    return {
        "ok": not scene.faults,
        "accepted": len(scene.sent),
        "totals": totals,
        "faults": scene.faults,
        "url": stack.listens_at,
        "workspace": scene.workspace,
        "token": scene.token,
        "console": f"{stack.listens_at}/console",
        "email": demo_story.PERSON,
        "password": scene.password,
    }


def _proof(stack: Stack, scene: Scene, *, once: bool) -> Panel:
    """What was compared and, unless it ends ``once`` this is said, where it can be reached."""
    counts = Counter(sent.letter.channel for sent in scene.sent.values())
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold green")
    grid.add_column(overflow="fold")
    grid.add_row("✓", f"{len(scene.sent)} messages accepted; each arrived once and ended where it should")
    for channel, proved in _PROVED.items():
        grid.add_row("✓", f"{counts[channel]} {channel.value} as sent: {proved}")
    if not once:
        grid.add_row()
        for name, value in (
            ("Console", f"{stack.listens_at}/console"),
            ("Sign in", f"{demo_story.PERSON}, {scene.password}"),
            ("API", stack.listens_at),
            ("Reference", f"{stack.listens_at}/docs"),
            ("Workspace", scene.workspace),
            ("Token", scene.token),
        ):
            grid.add_row(f"[dim]{name}[/]", value)
    return Panel(grid, title="[bold green]Everything arrived[/]", border_style="green", expand=False)


def _curl(stack: Stack, scene: Scene) -> str:
    """A command that sends one more mail to the first contact."""
    body = {
        "contactId": next(iter(scene.contacts.values())),
        "channel": "EMAIL",
        "subject": "Hello {{firstName}}",
        "body": "<p>Sent by hand.</p>",
    }
    return (
        f"curl {stack.listens_at}/api/workspaces/{scene.workspace}/messages \\\n"
        f"  -H {shlex.quote('Authorization: Bearer ' + scene.token)} \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(json.dumps(body))}"
    )
