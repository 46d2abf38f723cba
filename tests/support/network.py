"""Machines on one switch, each with an address and a cable: network namespaces (network_namespaces(7)), as root.

Nothing of it is seen from this machine's own network, whatever addresses that has.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

_NAMED: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000
_DISABLED: Final = "0"
_FORWARDING: Final = "3"
"""What a port of a bridge does (bridge(8), "state")."""
_SWITCH: Final = "switch"
_TOOLS: Final = ("bridge", "ip", "nsenter", "setpriv")


def why_not() -> str | None:
    """Why no such machines can be made here; None where they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces are made by root, on Linux"
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        return f"network namespaces take {' and '.join(missing)}"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return "network namespaces are not allowed here" if tried.returncode else None


class Network:
    """Made by ``switched``; each machine is known by its name."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.addresses = dict(addresses)
        self._prefix = f"wr-{secrets.token_hex(3)}-"

    def build(self) -> None:
        """Make the switch, then each machine with its cable; raises RuntimeError with what was refused."""
        _ip("netns", "add", self._namespace(_SWITCH))
        self._on(_SWITCH, "link", "add", "lan", "type", "bridge")
        self._on(_SWITCH, "link", "set", "lan", "up")
        for name, address in self.addresses.items():
            _ip("netns", "add", self._namespace(name))
            self._on(
                _SWITCH, *("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", self._namespace(name))
            )
            self._on(_SWITCH, "link", "set", name, "master", "lan", "up")
            self._on(name, "address", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                self._on(name, "link", "set", device, "up")

    def remove(self) -> None:
        """Remove what was built, as far as that is. What still runs there keeps a network without a cable."""
        for name in (*self.addresses, _SWITCH):
            if (_NAMED / self._namespace(name)).exists():
                _ip("netns", "delete", self._namespace(name))

    def command(self, machine: str, *words: str) -> tuple[str, ...]:
        """The command, to be run on that machine."""
        return ("nsenter", f"--net={_NAMED / self._namespace(machine)}", *words)

    def pull(self, machine: str) -> None:
        """Let nothing to that machine nor from it: as where its cable is pulled at a switch further away.

        Nobody is told: what is under way waits for answers that do not come.
        """
        self._set_port(machine, _DISABLED)

    def plug(self, machine: str) -> None:
        """Let all through again."""
        self._set_port(machine, _FORWARDING)

    def listen(self, machine: str, port: int) -> socket.socket:
        """A socket that listens on that machine: it belongs where it was made, whoever uses it."""
        return self._within(machine, lambda: socket.create_server((self.addresses[machine], port), backlog=1024))

    def dial(self, machine: str, place: tuple[str, int]) -> socket.socket:
        """A connection from that machine to an address and a port; raises OSError."""
        return self._within(machine, lambda: socket.create_connection(place, timeout=5.0))

    def _within(self, machine: str, do: Callable[[], T]) -> T:
        path = _NAMED / self._namespace(machine)

        def go() -> T:
            with path.open("rb") as namespace:
                # setns(2): of the calling thread alone, which ends with this. Python 3.12 has it in ``os``.
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            return do()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(go).result()

    def _namespace(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def _set_port(self, machine: str, state: str) -> None:
        _call("bridge", "-netns", self._namespace(_SWITCH), "link", "set", "dev", machine, "state", state)

    def _on(self, name: str, *words: str) -> None:
        _ip("-netns", self._namespace(name), *words)


@contextlib.contextmanager
def switched(addresses: Mapping[str, str]) -> Iterator[Network]:
    """Machines with these IPv4 addresses of one /24, by their names of at most 15 letters; removed at the end."""
    network = Network(addresses)
    try:
        network.build()
        yield network
    finally:
        network.remove()


def _ip(*words: str) -> None:
    _call("ip", *words)


def _call(*command: str) -> None:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"{' '.join(command)}: {answer.stderr.strip()}")
