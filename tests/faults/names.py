"""A name server that breaks, keeps silent or changes its mind, and processes that ask nobody else.

A process asks the servers of ``/etc/resolv.conf``: one in a mount namespace of its own (unshare(1)) has a file of its
own there. No port but 53 can be told in it (resolv.conf(5)).
"""

import contextlib
import random
import shutil
import socket
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from wireroom.supervisor import Service

ZONE: Final = "names.test"
_RESOLV_CONF: Final = "/etc/resolv.conf"
_PORT: Final = 53
_TTL: Final = 0
_MOST_BYTES: Final = 4096
_WAITING_BYTES: Final = 4 << 20
_UNSHARED: Final = ("unshare", "--map-root-user", "--mount")
_BOUND: Final = f'mount --bind "$0" {_RESOLV_CONF} && exec "$@"'

# By the name's second part: what its address is said to be, first, second and so on; the last one stands. Who repeats a
# query under its id, having waited too long for the answer, is told the same.
_ANSWERS: Final = {
    "rebinding": ("127.0.0.1", "127.0.0.2"),
    "moved": ("127.0.0.1", "127.0.0.2"),
    "inside": ("127.0.0.2",),
    "alias": ("127.0.0.2",),
    "mixed": ("127.0.0.1 127.0.0.2",),
    "six": (),
}
_BROKEN: Final = "servfail"
_SILENT: Final = "silent"
_ALIAS: Final = "alias"
_SIX: Final = "six"
_MAPPED: Final = "::ffff:127.0.0.2"


class NameServer:
    """Answers for ``ZONE``, by UDP (RFC 1035, section 4), in a thread of its own. ``host``: where it is asked.

    Nine hundred names at once are asked for. Whose questions wait until a busy loop comes round to them are dropped by
    the kernel, and a name with one address alone has none then.
    """

    def __init__(self, taken: socket.socket) -> None:
        self.host: str = taken.getsockname()[0]
        self._socket = taken
        self._asked: defaultdict[str, list[int]] = defaultdict(list)

    def serve(self) -> None:
        """Answer each query, unless its name is one that nothing is said of, until an empty one comes."""
        while True:
            data, asker = self._socket.recvfrom(_MOST_BYTES)
            if not data:
                return
            answer = self._answer(dns.message.from_wire(data))
            if answer is not None:
                self._socket.sendto(answer.to_wire(), asker)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name = question.name.to_text().lower()
        kind = name.split(".")[1]
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA | dns.flags.RA
        if kind == _SILENT:
            return None
        if kind == _BROKEN:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif kind not in _ANSWERS:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            answer.answer = self._addresses(name, kind, query.id)
        elif question.rdtype == dns.rdatatype.AAAA and kind == _SIX:
            answer.answer = [dns.rrset.from_text(name, _TTL, "IN", "AAAA", _MAPPED)]
        return answer

    def _addresses(self, name: str, kind: str, query_id: int) -> list[dns.rrset.RRset]:
        if not _ANSWERS[kind]:
            return []
        before = self._asked[name]
        if query_id not in before:
            before.append(query_id)
        said = _ANSWERS[kind][min(before.index(query_id), len(_ANSWERS[kind]) - 1)].split()
        if kind != _ALIAS:
            return [dns.rrset.from_text(name, _TTL, "IN", "A", *said)]
        other = f"other.{ZONE}."
        alias = dns.rrset.from_text(name, _TTL, "IN", "CNAME", other)
        return [alias, dns.rrset.from_text(other, _TTL, "IN", "A", *said)]


def is_possible() -> bool:
    """Whether a process may have a file of its own there, and somebody answer at port 53."""
    if shutil.which("unshare") is None or not Path(_RESOLV_CONF).exists():
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((_somewhere(), _PORT))
        except OSError:
            return False
    trial = [*_UNSHARED, "sh", "-c", _BOUND, _RESOLV_CONF, "true"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def running() -> Iterator[NameServer]:
    """A name server on an address of this machine's, at port 53."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WAITING_BYTES)
        taken.bind((_somewhere(), _PORT))
        server = NameServer(taken)
        thread = threading.Thread(target=server.serve, name="names", daemon=True)
        thread.start()
        try:
            yield server
        finally:
            taken.sendto(b"", taken.getsockname())
            thread.join()


def asking(service: Service, server: NameServer, folder: Path) -> Service:
    """The service, asking that server for every name, twice where it says nothing for two seconds."""
    file = folder / "resolv.conf"
    file.write_text(f"nameserver {server.host}\noptions timeout:2 attempts:2\n")
    command = (*_UNSHARED, "sh", "-c", _BOUND, str(file), *service.command)
    return Service(service.name, command, service.drain_s)


def _somewhere() -> str:
    """An address of the loopback network's 16 million that nobody else has taken, most likely."""
    return f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}"
