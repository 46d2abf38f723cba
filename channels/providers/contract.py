"""What a provider's adapter is: two pure functions over one HTTP request.

The server reads the request and stores what ``parse`` returns; an adapter states only how its provider proves
who it is and what its words mean.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from models.events import ParsedEvent


class HookRequest(msgspec.Struct, frozen=True):
    """A request as it came in: header names in lower case, the body's bytes untouched but inflated.

    ``urls``: the public address that it was sent to, in every form in which its provider may know it.
    """

    headers: Mapping[str, str]
    body: bytes
    urls: tuple[str, ...] = ()


class HookSecrets(msgspec.Struct, frozen=True):
    """What a hook's owner and its provider share.

    ``topic_arns``: the only topics that the hook takes from. ``certificate``: PEM, where the provider publishes its
    key at an address that the request names.
    """

    signing_keys: tuple[str, ...] = ()
    topic_arns: tuple[str, ...] = ()
    certificate: bytes | None = None


class BadSignature(Exception):
    """The request does not prove that it comes from the provider."""


class TooManyEvents(Exception):
    """One request holds more events than an adapter reads."""


class ProviderAdapter(Protocol):
    """One provider."""

    def verify(self, request: HookRequest, secrets: HookSecrets, now_s: float) -> None:
        """Return where the request is the provider's own; raises BadSignature otherwise."""

    def parse(self, request: HookRequest) -> Sequence[ParsedEvent]:
        """The request's events. What cannot be read becomes an event of type IGNORED, so that nothing is lost.

        Raises TooManyEvents.
        """
