"""What ends a bench."""

from models.errors import WireroomError


class BenchFailed(WireroomError):
    """A run that must not be reported: something is missing, was lost or doubled, or took too long."""
