"""A network of its own in which every address there is belongs to this machine, and a canary listens on all of them.

``python -m tests.support.canary`` is run in that network (unshare(1)), sends webhooks to where none may go, and prints
what became of them and what the canary saw.
"""

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import msgspec

from channels.contract import Content
from channels.errors import SendError
from channels.webhook import WebhookChannel, WebhookConfig
from tests.support import forbidden
from tests.support.envelopes import envelope
from tests.support.webhooks import NameServer

_PORTS: Final = (80, 443, 8443)
_PRIVATE: Final = ("10.1.2.3", "169.254.169.254", "fd00:ec2::254", "127.0.0.1")
PUBLIC: Final = "192.88.98.1"
"""An address that the guard takes for public, and that is this machine's in the canary's network."""

_UNSHARED: Final = ("unshare", "--map-root-user", "--net")


class Report(msgspec.Struct):
    """``ends``: by URL, the error and its reason. ``seen``: the addresses connected to.

    ``control``: those that were seen where nothing was forbidden. ``rebound``: those of a name whose first answer is
    public, and whose second is not; ``then``: how a send by the second answer ended.
    """

    ends: dict[str, str]
    seen: list[str]
    control: list[str]
    rebound: list[str]
    then: str


def is_possible() -> bool:
    """Whether this machine lets us make such a network."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return (
        subprocess.run([*_UNSHARED, "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode == 0
    )


async def run() -> Report:
    """Run the canary's process to its end."""
    process = await asyncio.create_subprocess_exec(
        *_UNSHARED,
        sys.executable,
        "-m",
        "tests.support.canary",
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return msgspec.json.decode(out, type=Report)


def urls() -> list[str]:
    """Every forbidden host by https, and some of them otherwise."""
    found = [f"https://{host}/hook" for host in forbidden.hosts()]
    found += [
        f"{scheme}://{host}:{port}/" for scheme in ("http", "https") for port in _PORTS for host in _hosts(_PRIVATE)
    ]
    found += [f"https://{host}@{host}/" for host in _hosts(_PRIVATE)]
    return [
        *found,
        "https://hooks.example@10.1.2.3/",
        "https://hooks.example\\@10.1.2.3/",
        "https://10.1.2.3#@a.example/",
    ]


def _hosts(addresses: Iterable[str]) -> list[str]:
    return [f"[{each}]" if ":" in each else each for each in addresses]


@contextlib.asynccontextmanager
async def _listening(seen: list[str]) -> AsyncIterator[None]:
    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(str(writer.get_extra_info("sockname")[0]))
        writer.transport.abort()

    servers = [await asyncio.start_server(accept, host, port) for host in ("0.0.0.0", "::") for port in _PORTS]
    try:
        yield
    finally:
        for server in servers:
            server.close()


async def _end(channel: WebhookChannel, url: str) -> str:
    try:
        await channel.send(envelope(url), channel.prepare(Content(body="b")))
    except SendError as error:
        return f"{type(error).__name__} {getattr(error, 'reason', '')}".strip()
    return "sent"


async def _ends(channel: WebhookChannel, urls: Iterable[str]) -> dict[str, str]:
    try:
        return {url: await _end(channel, url) for url in urls}
    finally:
        await channel.close()


async def _by_names() -> dict[str, str]:
    """Names that lead inside: at once, beside a public address, and by the second answer."""
    ends: dict[str, str] = {}
    for address in forbidden.addresses():
        for answer in ([address], [PUBLIC, address], [address, PUBLIC]):
            channel = WebhookChannel(WebhookConfig(), resolver=NameServer([answer]))
            ends |= await _ends(channel, [f"https://hooks.example/?{'+'.join(answer)}"])
    return ends


async def _report() -> Report:
    control: list[str] = []
    async with _listening(control):
        everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
        await _ends(WebhookChannel(WebhookConfig(everything)), [f"http://{host}/" for host in _hosts(_PRIVATE)])
    rebound: list[str] = []
    async with _listening(rebound):
        names = NameServer([[PUBLIC], ["127.0.0.1"]])
        # The second channel remembers nothing.
        first, second = [WebhookChannel(WebhookConfig(), resolver=names) for _ in range(2)]
        await _ends(first, ["https://hooks.example/"])
        (then,) = (await _ends(second, ["https://hooks.example/"])).values()
    seen: list[str] = []
    async with _listening(seen):
        ends = await _ends(WebhookChannel(WebhookConfig()), urls())
        ends |= await _by_names()
        await asyncio.sleep(0.1)  # what was dialled in the end is accepted by now
    return Report(ends, list(Counter(seen)), list(Counter(control)), list(Counter(rebound)), then)


def main() -> None:
    """In the new network: give it every address, then send."""
    for words in ("link set lo up", "route add local 0.0.0.0/0 dev lo", "-6 route add local ::/0 dev lo"):
        subprocess.run(["ip", *words.split()], check=True)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(_report())))


if __name__ == "__main__":
    main()
