"""A port for a server that is started later, by another process."""

import contextlib
import functools
import itertools
import os
import random
import socket
from collections.abc import Iterator
from typing import Final

# Below those that systems give to connections and to whoever asks for any port (Linux from 32,768 on, others from
# 49,152): a port chosen among those would be given to somebody else now and then before its server has started.
_CHOICE: Final = range(20_000, 32_000)
_TRIES: Final = 100


def free_port() -> int:
    """A port of the loopback interface that nobody had a moment ago; raises OSError where none can be had."""
    for port in itertools.islice(_in_turn(os.getpid()), _TRIES):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port of 127.0.0.1 is free")


@functools.cache
def _in_turn(_process: int) -> Iterator[int]:
    """All ports one after the other, over and over: none is given twice before the server that it is for has started.

    Each process begins somewhere else, and one that was forked does not go on where its parent stood.
    """
    first = random.SystemRandom().randrange(len(_CHOICE))
    return itertools.cycle([*_CHOICE[first:], *_CHOICE[:first]])
