"""Commands as a page gives them, to be run as they stand."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[2] / "docs"


def blocks(page: Path, heading: str = "") -> list[str]:
    """The fenced blocks that are marked ``sh``, in their order; of one section where its ``heading`` is given."""
    text = page.read_text()
    if heading:
        text = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


async def typed(block: str, folder: Path, environment: Mapping[str, str], *, code: int = 0) -> str:
    """What a shell in ``folder`` prints that does all of a block, stops at the first failure and ends with ``code``."""
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", block),
        cwd=folder,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await shell.communicate()
    assert shell.returncode == code, said.decode()
    return said.decode()
