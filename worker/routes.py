"""By whom a message goes, or when it is to come back."""

from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

from models.store.claims import Claim
from models.store.outcomes import Ended


class Runner(Protocol):
    """Makes attempts."""

    def in_use(self) -> AbstractAsyncContextManager[None]:
        """It is not closed meanwhile."""

    async def run(self, claim: Claim, prepared: Any) -> Ended:
        """Send; whatever happens, it ends in what is to be recorded."""

    async def recorded(self, ended: Ended) -> None:
        """That is on record now: what else is learnt of it may take its time."""


class Route(NamedTuple):
    """By whom a message goes, and what it says; ``is_slow`` as in ``Prepared``. ``is_counted``: metrics tell of it."""

    runner: Runner
    prepared: Any
    is_slow: bool = False
    is_counted: bool = True


class Wait(NamedTuple):
    """A message goes by nobody before ``ms`` have passed."""

    ms: int
