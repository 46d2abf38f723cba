"""What README.md tells a newcomer to type, typed."""

import asyncio
import os
import re
from pathlib import Path

from tests.support import commands
from tests.support.processes import free_environment
from tests.support.waiting import wait_until

README = Path(__file__).parents[2] / "README.md"


def blocks() -> list[str]:
    """The commands of "Use it" that need nothing of one's own."""
    section = README.read_text().partition("## Use it")[2].partition("\n## ")[0]
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return [typed for language, typed in fenced if not language]


async def test_the_first_message_is_sent_as_the_readme_says(tmp_path: Path) -> None:
    first, second, third = blocks()
    settings = dict(re.findall(r"^export (WIREROOM_\w+)=(\S+)", first, re.MULTILINE))
    assert first.endswith("wireroom up\n")
    async with commands.running(tmp_path / "data", **settings) as up:
        typed = (second + third).replace("http://127.0.0.1:8080", up.url).replace("9000", str(commands.free_port()))
        output = tmp_path / "output"
        with output.open("wb") as written:
            shell = await asyncio.create_subprocess_exec(
                *("bash", "-euc", f"trap 'kill %1' EXIT; {typed}\nread -r"),
                cwd=README.parent,
                env=free_environment() | up.settings | {"no_proxy": "127.0.0.1"},
                stdin=asyncio.subprocess.PIPE,
                stdout=written,
                stderr=asyncio.subprocess.STDOUT,
            )
        try:
            await wait_until(lambda: output.read_text().count('"body":"Ada, it left."') == 2, timeout=40)
        finally:
            await shell.communicate(os.linesep.encode())
        assert shell.returncode == 0, output.read_text()
