"""What ends a bench, or a row of it."""

from models.errors import WireroomError


class BenchFailed(WireroomError):
    """A run that must not be reported: something is missing, was lost or doubled, or took too long."""


class LeftOut(WireroomError):
    """A row cannot be measured on this machine, through no fault of either side; the text says why."""


def not_installed(name: str) -> BenchFailed:
    """What to raise where a library is missing that only the bench needs."""
    return BenchFailed(f"the bench needs {name}: pip install 'wireroom[bench]', in a checkout make install")
