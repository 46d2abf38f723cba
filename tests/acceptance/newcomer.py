"""``make newcomer``: how long it takes somebody new until a message of their own stands in the console.

What is committed here is cloned into a folder whose name has a space, by somebody whose home is empty. They type what
README.md says under "Try it", then what that tells them to, and sign in with the account that it names. Ends 1 where
something is missing, or took longer than ``--most`` seconds. Packages come from the index that pip is set up with here;
nothing else of this machine's settings is known to them.
"""

import argparse
import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.consoles import desk, words
from tests.support.waiting import wait_until

_ROOT: Final = Path(__file__).parents[2]
_KEPT: Final = re.compile(r"PATH|LANG|LC_ALL|TERM|(PIP|UV)_.*|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|.*_proxy", re.IGNORECASE)
_NO_BOX: Final = str.maketrans("│╭╮╰╯─", "      ")
_STOP_S: Final = 120.0


class Stuck(Exception):
    """They do not know how to go on; the text says where."""


@dataclass
class Watch:
    """Says what is reached, and after how long."""

    began: float = field(default_factory=time.monotonic)

    def reached(self, what: str) -> float:
        """The seconds since the beginning."""
        took_s = time.monotonic() - self.began
        sys.stdout.write(f"{took_s:6.1f} s  {what}\n")
        sys.stdout.flush()
        return took_s


@dataclass(frozen=True)
class Told:
    """What the demo says at its end: where the console is, as whom to sign in, and what to type."""

    console: str
    email: str
    password: str
    command: str


def typed_first() -> str:
    """The first block under "Try it"."""
    section = (_ROOT / "README.md").read_text().partition("\n## Try it\n")[2].partition("\n## ")[0]
    found = re.search(r"^```\w*\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    if found is None:
        raise Stuck('README.md has no command under "Try it"')
    return found[1]


def read(said: str) -> Told | None:
    """None until all of it is said; raises Stuck where something of it is not."""
    command = re.search(r"^curl .*?[^\\]$", said, re.DOTALL | re.MULTILINE)
    if command is None:
        return None
    plain = said.translate(_NO_BOX)
    console = re.search(r"\bConsole +(http\S+)", plain)
    account = re.search(r"\bSign in +(\S+@\S+), (\S+)", plain)
    if console is None or account is None:
        raise Stuck("the demo names no console, or no account for it")
    return Told(console[1], account[1], account[2], command[0])


async def walk(most_s: float) -> int:
    """The exit code."""
    with tempfile.TemporaryDirectory(prefix="wr ") as place:
        home, clone = Path(place) / "home", Path(place) / "a clone"
        home.mkdir()
        environment = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)} | {"HOME": str(home)}
        watch = Watch()
        await asyncio.to_thread(subprocess.run, ["git", "clone", "--quiet", str(_ROOT), str(clone)], check=True)
        watch.reached("cloned")
        async with _typed(typed_first(), clone, environment) as output:
            told = await wait_until(lambda: read(output.read_text(errors="replace")), timeout=600, interval=0.1)
            assert told is not None
            watch.reached("the demo has shown everything, and what to type")
            answer = await asyncio.create_subprocess_exec(
                "bash", "-c", told.command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            said = (await answer.communicate())[0].decode()
            message = re.search(r'"id":"(msg_\w+)"', said)
            if message is None:
                raise Stuck(f"what it tells to type answers {said[:300]}")
            watch.reached("their message is accepted")
            await _find(told, message[1])
            took_s = watch.reached("it stands in the console")
    if took_s > most_s:
        sys.stdout.write(f"longer than {most_s:.0f} s\n")
    return int(took_s > most_s)


async def _find(told: Told, message: str) -> None:
    """Sign in as told, and see the message in the list, then on its own page."""
    url = told.console.removesuffix("/console")
    async with desk(url) as browser:
        answer = await browser.sign_in(told.email, told.password)
        home = await browser.get(answer.headers.get("location", ""), follow_redirects=True)
        if answer.status_code >= 400 or not home.is_success:
            raise Stuck(f"the console lets nobody in ({answer.status_code}, {home.status_code})")
        listed = f"{home.url.path}/messages"
        if message not in (await browser.get(listed)).text:
            raise Stuck(f"{listed} does not have {message}")
        if "Hello" not in words((await browser.get(f"{listed}/{message}")).text):
            raise Stuck(f"{listed}/{message} does not show what was sent")


@contextlib.asynccontextmanager
async def _typed(line: str, folder: Path, environment: Mapping[str, str]) -> AsyncIterator[Path]:
    """A terminal in which ``line`` is typed, and Ctrl-C at the end of the block; the file with what it prints."""
    output = folder.with_name("output")
    with output.open("wb") as written:
        shell = await asyncio.create_subprocess_exec(
            *("bash", "-ec", line),
            cwd=folder,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield output
    except Exception as error:
        raise Stuck(f"{error}\n{output.read_text(errors='replace')[-3000:]}") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGINT)
        async with asyncio.timeout(_STOP_S):
            await shell.wait()


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="README.md's first steps, by somebody new.")
    parser.add_argument("--most", type=float, default=180.0, help="seconds that it may take")
    try:
        return asyncio.run(walk(parser.parse_args().most))
    except Stuck as stuck:
        sys.stderr.write(f"stuck: {stuck}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
