"""One message's attempt: what the channel is told, and what its answer means for the record."""

import random
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import lru_cache
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
import structlog

from channels.contract import Browser, Channel, Envelope
from channels.errors import Blame, Limited, Misconfigured, NotStarted, Permanent, SendError, Transient, Unknown
from models import ids
from models.admission import with_own_links
from models.logs import places
from models.sealing import SealedFor
from models.secrets import SealBroken
from models.store import pauses
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.tokens import Links
from models.vocabulary import Channel as ChannelName
from models.vocabulary import FailureReason, Lane, Outcome
from worker import verdicts
from worker.services import Services

log = structlog.get_logger(__name__)

_SECRETS_KEPT: Final = 4096
_SEALED_S: Final = 300.0
"""When to try again where a contact's secret does not open: only a new start, with the key that lacks, will help."""


class Conduct(Protocol):
    """How a workspace's own sender fares."""

    async def works(self) -> None:
        """A message got through."""

    async def fails(self, error: SendError) -> bool:
        """A send ended otherwise; True where the sender rests now, and the message may go by another one."""


class Attempts:
    """Makes the attempts of one channel.

    ``conduct`` and ``sender``, its id, where that is not the operator's, but a workspace's. ``sealed_for``: what the
    secrets that a webhook is signed with are sealed for.
    """

    def __init__(
        self,
        channel: Channel,
        services: Services,
        conduct: Conduct | None = None,
        *,
        sender: UUID | None = None,
        sealed_for: SealedFor = SealedFor.WEBHOOK,
    ) -> None:
        self._sender = sender
        self._sealed_for = sealed_for
        self._channel = channel
        self._signs = channel.name is ChannelName.WEBHOOK
        self._conduct = conduct
        self._services = services
        self._open_secret = lru_cache(_SECRETS_KEPT)(services.keyring.open_text)

    def in_use(self) -> AbstractAsyncContextManager[None]:
        """It is closed by whoever made it."""
        return nullcontext()

    async def run(self, claim: Claim, prepared: Any) -> Ended:
        """Send; whatever happens, it ends in what is to be recorded. ``prepared`` may be why it cannot be sent."""
        with self._services.traces.sending(claim, self._channel.name, self._sender) as attempt:
            return attempt.ended(await self._run(claim, prepared, attempt.traceparent))

    async def _run(self, claim: Claim, prepared: Any, traceparent: str | None) -> Ended:
        message_id = ids.show(ids.Kind.MESSAGE, claim.id)
        proceeded = False

        def proceed() -> None:
            nonlocal proceeded
            self._services.lease.check()
            proceeded = True

        try:
            if isinstance(prepared, SendError):
                raise prepared
            receipt = await self._channel.send(self._envelope(claim, message_id, proceed, traceparent), prepared)
        except SendError as error:
            return await self._ended(claim, message_id, error)
        except Exception as error:  # noqa: BLE001 - no message may be left without an end
            self._named(claim, message_id).error("send.broke", places=places(error), error=type(error).__name__)
            detail = f"internal error: {type(error).__name__}"
            kind = Unknown if proceeded else Transient
            return await self._ended(claim, message_id, kind(detail, blame=Blame.OURS))
        return verdicts.accepted(claim, receipt)

    async def recorded(self, ended: Ended) -> None:
        """That is on record now. Only then is written down that a sender works: no outcome waits for it."""
        if self._conduct is not None and ended.outcome is Outcome.ACCEPTED:
            await self._conduct.works()

    async def _ended(self, claim: Claim, message_id: str, error: SendError) -> Ended:
        log_line = self._named(claim, message_id)
        rest_ms = 0
        match error:
            case Misconfigured():
                # What a workspace has set up wrongly is its own affair, and no alarm.
                say = log_line.error if self._conduct is None else log_line.info
                say("send.misconfigured", code=error.code, summary=error.summary)
                rest_ms = verdicts.REST_MS
            case Limited(whole=True):
                log_line.warning("send.limited", code=error.code, seconds=error.retry_after_s)
                rest_ms = verdicts.milliseconds(error.retry_after_s)
            case NotStarted():
                pass
            case _:
                reason = error.reason.value if isinstance(error, Permanent) else None
                log_line.info("send.ended", outcome=type(error).__name__, code=error.code, reason=reason)
        verdict = verdicts.ended(self._channel.name, claim, error, random.random())
        if self._conduct is not None:
            if await self._conduct.fails(error):
                return msgspec.structs.replace(verdict, delay_ms=verdicts.AT_ONCE)
            return verdict
        if rest_ms:
            # Every workspace may read why a channel rests: it is told nothing of what a peer said.
            await self._rest(rest_ms, error.summary if isinstance(error, Misconfigured) else error.detail)
        return verdict

    def _named(self, claim: Claim, message_id: str) -> Any:
        workspace_id = ids.show(ids.Kind.WORKSPACE, claim.workspace_id)
        return log.bind(
            message=message_id, workspace=workspace_id, fencing_token=claim.token, channel=self._channel.name
        )

    def _envelope(self, claim: Claim, message_id: str, proceed: Any, traceparent: str | None) -> Envelope:
        if claim.address is None:
            raise Permanent("the message has no address any more", reason=FailureReason.ERASED)
        links = Links(self._services.keyring.tokens, self._services.public_url, claim.id, claim.run)
        variables = claim.variables
        if not claim.essential:
            variables = with_own_links(variables, links)
        return Envelope(
            message_id=message_id,
            contact_id=ids.show(ids.Kind.CONTACT, claim.contact_id),
            uuid=claim.id,
            run=claim.run,
            address=claim.address,
            secrets=self._secrets(claim, message_id) if self._signs else (),
            variables=variables,
            metadata=claim.metadata,
            proceed=proceed,
            links=links,
            opt_out=not claim.essential,
            track_opens=claim.track_opens,
            track_clicks=claim.track_clicks,
            browsers=tuple([Browser(*keys) for keys in claim.browsers]),
            accepted=claim.accepted,
            tries=claim.tries,
            bulk=claim.lane is Lane.BULK,
            rescued=claim.rescued,
            traceparent=traceparent,
        )

    def _secrets(self, claim: Claim, message_id: str) -> tuple[str, ...]:
        """What a webhook is signed with; raises Limited where it does not open.

        That is the operator's fault, but it concerns this endpoint's secret alone: a rest of the channel would stop
        those whose secrets open, and a failure would be the endpoint's.
        """
        try:
            return tuple([self._open_secret(secret, self._sealed_for) for secret in claim.secrets])
        except SealBroken:
            contact_id = ids.show(ids.Kind.CONTACT, claim.contact_id)
            self._named(claim, message_id).error("send.secret_sealed_by_unknown_key", contact=contact_id)
            detail = "the endpoint's secret does not open: WIREROOM_SECRET_KEY lacks the key that sealed it"
            raise Limited(detail, retry_after_s=_SEALED_S) from None

    async def _rest(self, milliseconds: int, detail: str) -> None:
        try:
            async with self._services.database.write() as connection:
                await pauses.rest(connection, self._channel.name, milliseconds, detail)
        except Exception as broken:  # noqa: BLE001 - a rest that cannot be written must not cost the message its end
            log.warning("send.no_rest", channel=self._channel.name, error=type(broken).__name__)
