"""Providers that sign nothing: the unguessable address of the hook, and Basic credentials, are all the proof."""

from channels.providers.contract import HookRequest, HookSecrets


class Unsigned:
    """The half of an adapter that has nothing to verify."""

    def verify(self, request: HookRequest, secrets: HookSecrets, now_s: float) -> None:
        """Return: the request was found by its address, and its Basic credentials were asked for before."""
