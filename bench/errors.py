"""What ends a bench."""

from models.errors import WireroomError


class BenchFailed(WireroomError):
    """A run that must not be reported: something is missing, was lost or doubled, or took too long."""


def not_installed(name: str) -> BenchFailed:
    """What to raise where a library is missing that only the bench needs."""
    return BenchFailed(f"the bench needs {name}: pip install 'wireroom[bench]', in a checkout make install")
