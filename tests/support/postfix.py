"""Debian's Postfix on a free port, from a configuration of its own: no service of the machine is touched.

Whatever comes for example.net lands in one Maildir, but for ``bouncing@example.net``, whom nobody knows. What comes for
the domains that it is told of goes on to other servers; what they do not take goes back at once, a temporary failure
too. Postfix changes users for its parts, and so must begin as root.
"""

import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Final

from tests.support.processes import block_until, die_with_parent, short_folder, stop
from wireroom.ports import free_port

NO_ROUTES: Final[Mapping[str, str]] = {}
_MASTER: Final = Path("/usr/lib/postfix/sbin/master")
_QUEUES: Final = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"),
    *("maildrop", "public", "pid"),
)
_SERVICES: Final = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
proxymap  unix - - n - - proxymap
error     unix - - n - - error
retry     unix - - n - - error
virtual   unix - n n - - virtual
smtp      unix - - n - - smtp
lmtp      unix - - n - - lmtp
anvil     unix - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""
_PARAMETERS: Final = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.net
mydestination =
mynetworks = 127.0.0.0/8
local_transport = error:no local mail
default_transport = error:no mail leaves
relay_domains = {domains}
relay_recipient_maps =
transport_maps = regexp:{folder}/config/transport
maximal_queue_lifetime = 0
bounce_queue_lifetime = 0
virtual_mailbox_domains = example.net
virtual_mailbox_base = {folder}
virtual_mailbox_maps = regexp:{folder}/config/mailboxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtputf8_enable = yes
smtputf8_autodetect_classes = all
message_size_limit = 20480000
"""
_MAILBOXES: Final = """
if !/^bouncing@/
/./ mailbox/
endif
"""


def why_not() -> str | None:
    """Why no Postfix can run here; None where one can."""
    if sys.platform != "linux" or not _MASTER.exists():
        return "Postfix is not installed: as root, sh tools/peers.sh installs it on Debian and Ubuntu"
    return None if os.geteuid() == 0 else "Postfix needs root to begin"


@dataclass(frozen=True)
class Postfix:
    """What to connect to, and where the mails land."""

    port: int
    folder: Path

    def mails(self) -> list[EmailMessage]:
        """The mails that were delivered, oldest first, as the standard library's modern parser reads them."""
        return [read(raw) for raw in self.raw_mails()]

    def raw_mails(self) -> list[bytes]:
        """The same as the mailbox has them, their lines ended by LF."""
        new = self.folder / "mailbox" / "new"
        paths = sorted(new.iterdir(), key=lambda path: path.stat().st_mtime_ns) if new.is_dir() else []
        return [path.read_bytes() for path in paths]

    def log(self) -> str:
        """What it wrote so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""


def read(raw: bytes) -> EmailMessage:
    """A mail as the standard library's modern parser reads it; its headers may be UTF-8 (RFC 6532)."""
    return message_from_bytes(raw, policy=policy.default.clone(utf8=True))


@contextlib.contextmanager
def running(routes: Mapping[str, str] = NO_ROUTES) -> Iterator[Postfix]:
    """A Postfix until the end of the block; ``routes``: by domain, as ``lmtp:inet:127.0.0.1:2424``."""
    with short_folder() as folder:
        port = free_port()
        _lay_out(folder, port, routes)
        log = folder / "master.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [_MASTER, "-c", folder / "config", "-d"],
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - it calls one function of the C library
                env={"PATH": os.environ["PATH"], "MAIL_CONFIG": str(folder / "config")},
                cwd=folder / "queue",
                process_group=0,  # on SIGTERM it ends its whole group
            )
        postfix = Postfix(port, folder)
        try:
            block_until(lambda: _answers(port), process, folder / "log")
            yield postfix
        finally:
            stop(process)
            sys.stdout.write(postfix.log()[-4000:])  # pytest prints it where a test failed


def _lay_out(folder: Path, port: int, routes: Mapping[str, str]) -> None:
    """The folders and files that Postfix wants, with the owners that it wants them to have."""
    owner = pwd.getpwnam("postfix")
    config, data, mailbox = folder / "config", folder / "data", folder / "mailbox"
    for each in (config, data, mailbox, folder / "queue"):
        each.mkdir()
    for name in _QUEUES:
        (folder / "queue" / name).mkdir()
        if name != "pid":
            shutil.chown(folder / "queue" / name, "postfix")
    for name in ("maildrop", "public"):
        shutil.chown(folder / "queue" / name, group="postdrop")
    for each in (data, mailbox):
        shutil.chown(each, "postfix", "postfix")
    values = {"folder": folder, "port": port, "uid": owner.pw_uid, "gid": owner.pw_gid, "domains": " ".join(routes)}
    lines = [f"/@{re.escape(domain)}$/ {transport}\n" for domain, transport in routes.items()]
    (config / "transport").write_text("".join(lines))
    (config / "main.cf").write_text(_PARAMETERS.format(**values))
    (config / "mailboxes").write_text(_MAILBOXES)
    (config / "master.cf").write_text(_SERVICES.format(**values))


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as line:
        return line.recv(4).startswith(b"220")
    return False
