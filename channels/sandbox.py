"""The peers of a sandbox: they answer by address, inside this process, and never open a connection."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from channels.contract import Content, Envelope, Receipt
from channels.errors import NotStarted, Permanent, Transient, Unknown
from channels.onsite import OnsiteChannel
from channels.render_error import RenderError
from channels.rendering import Texts
from channels.sandbox_stories import Answer, story_of
from models.vocabulary import Channel as ChannelName
from models.vocabulary import FailureReason

SLOW_S: Final = 3.0

# As the channel's own peer would say it: its code, and what we make of that.
_NOT_NOW: Final[Mapping[ChannelName, str]] = {
    ChannelName.EMAIL: "451 4.7.1",
    ChannelName.PUSH: "503",
    ChannelName.TELEGRAM: "502",
    ChannelName.WEBHOOK: "500",
}
_NEVER: Final[Mapping[ChannelName, tuple[str, FailureReason]]] = {
    ChannelName.EMAIL: ("550 5.7.1", FailureReason.POLICY),
    ChannelName.PUSH: ("413", FailureReason.TOO_LARGE),
    ChannelName.TELEGRAM: ("400", FailureReason.REJECTED),
}
_DEAD: Final[Mapping[ChannelName, tuple[str, FailureReason]]] = {
    ChannelName.PUSH: ("410", FailureReason.ADDRESS_DEAD),
    ChannelName.TELEGRAM: ("403", FailureReason.BLOCKED),
    ChannelName.WEBHOOK: ("410", FailureReason.ENDPOINT_GONE),
}
_KNOWN_AT_ONCE: Final = frozenset({ChannelName.WEBHOOK})
"""Whose answer also proves that the message arrived."""


class SandboxChannel:
    """Any channel in a sandbox. ONSITE fills the contact's inbox as ever: that is in the house."""

    def __init__(self, name: ChannelName, *, slow_s: float = SLOW_S) -> None:
        """``slow_s``: how long a slow peer takes."""
        self.name = name
        self._slow_s = slow_s
        self._closed = False
        self._inbox = OnsiteChannel() if name is ChannelName.ONSITE else None

    def prepare(self, content: Content) -> Any:
        """Compile subject and body; raises Permanent where one cannot be read."""
        if self._inbox is not None:
            return self._inbox.prepare(content)
        try:
            return Texts(content.subject, content.body, content.format)
        except RenderError as error:
            raise Permanent(str(error), reason=FailureReason.RENDER_ERROR) from error

    async def send(self, envelope: Envelope, prepared: Any) -> Receipt:
        """Answer as the address says; raises Permanent where the text does not render."""
        if self._closed:
            raise NotStarted("the channel is closed")
        if self._inbox is not None:
            return await self._inbox.send(envelope, prepared)
        _fill(prepared, envelope)
        envelope.proceed()
        story = story_of(self.name, envelope.address)
        answer = story.answer(envelope.tries)
        if answer is Answer.ACCEPTS_SLOWLY:
            await asyncio.sleep(self._slow_s)
        self._refuse(answer)
        return Receipt(detail=f"sandbox: {story.name}", delivered=self.name in _KNOWN_AT_ONCE)

    async def close(self) -> None:
        """Take no more."""
        self._closed = True

    def _refuse(self, answer: Answer) -> None:
        """Raise what the answer is, unless the message is taken; a dead address takes mail, and reports it later."""
        match answer:
            case Answer.NOT_NOW:
                raise Transient("sandbox: not now", code=_NOT_NOW[self.name])
            case Answer.NEVER:
                code, reason = _NEVER[self.name]
                raise Permanent("sandbox: refused for good", reason=reason, code=code)
            case Answer.CUTS:
                raise Unknown("sandbox: the line broke before the answer")
            case Answer.DEAD if self.name in _DEAD:
                code, reason = _DEAD[self.name]
                # A contact may be reached by another browser one day: on PUSH no address dies.
                hard = self.name is not ChannelName.PUSH
                raise Permanent("sandbox: nobody is there", reason=reason, code=code, hard=hard, bounced=True)


def _fill(texts: Texts, envelope: Envelope) -> None:
    """Fill the texts as a channel does, so that what does not render fails here, too."""
    try:
        for text in (texts.subject, texts.body):
            if text is not None:
                text.fill(envelope.variables)
    except RenderError as error:
        raise Permanent(str(error), reason=FailureReason.RENDER_ERROR) from error
