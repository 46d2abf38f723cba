"""What README.md tells a newcomer to type, typed."""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx

from tests.support import bot_api, commands
from tests.support.commands import Up
from tests.support.no_tls import NO_TLS
from tests.support.processes import free_environment
from tests.support.waiting import wait_until
from wireroom.ports import free_port

README = Path(__file__).parents[2] / "README.md"


def blocks(title: str, wanted: str = "") -> list[str]:
    """The code of a section that is marked as ``wanted``; in "Use it" what has no mark needs nothing of one's own."""
    section = README.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return [typed for language, typed in fenced if language == wanted]


@contextlib.asynccontextmanager
async def typing(typed: str, up: Up, folder: Path, **environment: str) -> AsyncIterator[Path]:
    """A shell in ``folder`` that does what is typed, then waits until the block ends; the file with its output."""
    output = folder / "output"
    with output.open("wb") as written:
        shell = await asyncio.create_subprocess_exec(
            *("bash", "-euc", f"trap 'kill $(jobs -p)' EXIT; {typed}\nread -r"),
            cwd=folder,
            env=free_environment() | up.settings | {"no_proxy": "127.0.0.1"} | environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=written,
            stderr=asyncio.subprocess.STDOUT,
        )
    try:
        yield output
    finally:
        await shell.communicate(os.linesep.encode())
    assert shell.returncode == 0, output.read_text()


def elsewhere(typed: str, replaced: Mapping[str, str]) -> str:
    """The same, on this test's own ports and with its own programs."""
    for words, others in replaced.items():
        assert words in typed
        typed = typed.replace(words, others)
    return typed


async def test_what_the_readme_says_sends_by_every_channel_but_mail(tmp_path: Path) -> None:
    """The house of "Use it", which the bot's settings of a later section join."""
    first, begin, other_way = blocks("Use it")
    settings = dict(re.findall(r"^export (WIREROOM_\w+)=(\S+)", first, re.MULTILINE))
    assert first.endswith("wireroom up\n")
    push, onsite, bot, chats, telegram = blocks("The other channels", "sh")
    (report,) = blocks("What providers report", "sh")
    assert bot.startswith("export WIREROOM_TELEGRAM_BOT_TOKEN=")
    assert "api.telegram.org" in chats
    page = f"127.0.0.1:{free_port()}"
    async with bot_api.running() as api:
        settings |= {"WIREROOM_TELEGRAM_BOT_TOKEN": bot_api.TOKEN, "WIREROOM_TELEGRAM_API_URL": api.url}
        async with commands.running(tmp_path / "data", **settings) as up:
            typed = elsewhere(begin + other_way, own_ports(up)) + '\necho "kept: $secret"\n' + push
            typed += (
                elsewhere(onsite, {"127.0.0.1:8000": page, "server 8000": f"server {page.rpartition(':')[2]}"})
                + telegram
                + report
            )
            async with typing(typed, up, tmp_path, PATH=path()) as output:
                await wait_until(lambda: output.read_text().count('"body":"Ada, it left."') == 2, timeout=60)
                await wait_until(lambda: re.search(r"kept: whsec_\S{44}\n", output.read_text()), timeout=40)
                await wait_until(lambda: '"stored":1' in output.read_text() and api.sent_to("123456789"), timeout=60)
                assert re.search(r'"key":"[\w-]{87}"', output.read_text())
                assert '"endpoint":"https://push.example.org/send/fIyMZmv5Q2w"' in output.read_text()
                await wait_until(lambda: shown(page, up))


def own_ports(up: Up) -> dict[str, str]:
    return {"9000": str(free_port()), "http://127.0.0.1:8080": up.url}


def path() -> str:
    return f"{Path(commands.WIREROOM).parent}:{os.environ['PATH']}"


async def shown(page: str, up: Up) -> bool:
    """Whether the page that was made names our script, and a token that reads the inbox with what was sent there."""
    async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as visitor:
        try:
            html = (await visitor.get(f"http://{page}/inbox.html")).text
        except httpx.TransportError:
            return False
        script, token = re.findall(r'="([^"]+)"', html)
        assert (await visitor.get(script)).is_success
        token = {"Authorization": f"Bearer {token}", "Origin": f"http://{page}"}
        items = (await visitor.get(f"{up.url}/inbox", headers=token)).raise_for_status().json()["items"]
    return "It left" in {item["subject"] for item in items}
