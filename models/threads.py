"""How the threads of one process take turns."""

import sys
from typing import Final

_SHARE_S: Final = 0.0005


def share_evenly() -> None:
    """Give a thread that waits for the interpreter its turn after half a millisecond, instead of five.

    A wake-up passes several threads before a send begins, and each of them would wait so long beside an event loop that
    is busy (``sys.setswitchinterval``).
    """
    sys.setswitchinterval(_SHARE_S)
