"""A peer's libraries, from its own lock, into a folder of their own that stays; never among ours."""

import asyncio
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.errors import LeftOut
from bench.peers.catalogue import Language, Peer
from wireroom import data_dir

_SOURCES: Final = Path(__file__).parent
_DONE: Final = "installed"
_PATIENCE_S: Final = 300.0
_SHOWN: Final = 300  # of what an installer says, which begins with what is wrong
_PYTHON: Final = Path("venv", "bin", "python")


class Installed:
    """A peer that can be run: ``folder`` has its code, ``program`` runs it."""

    def __init__(self, folder: Path, program: Path) -> None:
        self.folder = folder
        self.program = program

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command line of one of its parts."""
        return [str(self.program), *(argument.format(self.folder) for argument in arguments)]


def digest(folder: Path) -> str:
    """Names what is in a folder, locks and code: another one is installed anew."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            found.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return found.hexdigest()[:12]


async def install(peer: Peer, cache: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> Installed:
    """The peer, installed below ``cache`` unless it is there already; raises LeftOut where it cannot be.

    ``environment``: where node and npm are looked for, and what the installers see.
    """
    source = _SOURCES / peer.folder
    folder = cache / f"{peer.folder}-{digest(source)}"
    program = folder / _PYTHON if peer.language is Language.PYTHON else _program("node", environment)
    if not (folder / _DONE).exists():
        say("installing its libraries")
        shutil.rmtree(folder, ignore_errors=True)
        data_dir.make(cache)
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))
        for command in _commands(peer.language, folder, environment):
            await asyncio.to_thread(_run, peer, command, folder, environment)
        (folder / _DONE).touch()
    return Installed(folder, program)


def _commands(language: Language, folder: Path, environment: Mapping[str, str]) -> list[list[str]]:
    if language is Language.NODE:
        return [[str(_program("npm", environment)), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]]
    uv = [sys.executable, "-P", "-m", "uv"]
    quietly = ["--quiet", "--no-cache", "--no-config", "--system-certs"]
    python = str(folder / _PYTHON)
    return [
        [*uv, "venv", *quietly, "--python", sys.executable, str(folder / "venv")],
        [*uv, "pip", "sync", *quietly, "--python", python, "--require-hashes", str(folder / "requirements.txt")],
    ]


def _run(peer: Peer, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LeftOut(f"{peer.title} could not be installed within {_PATIENCE_S:.0f} s: is there a network?") from None
    if done.returncode:
        said = " ".join(done.stdout.decode(errors="replace").split())[:_SHOWN]
        raise LeftOut(f"{peer.title} could not be installed: {said or f'status {done.returncode}'}")


def _program(name: str, environment: Mapping[str, str]) -> Path:
    found = shutil.which(name, path=environment.get("PATH", ""))
    if found is None:
        raise LeftOut(f"there is no {name} here: install Node.js 20 or newer, with npm")
    return Path(found)
