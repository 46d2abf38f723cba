"""How each message of a chunk goes: by which sender, with what prepared for its text, and when."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from channels.contract import Channel
from models.store.claims import Claim
from models.vocabulary import Lane
from worker.attempts import Attempts
from worker.endpoint_rates import EndpointRates
from worker.preparations import Preparations
from worker.routes import Route, Wait
from worker.sandbox import Sandbox
from worker.senders import Senders
from worker.services import Services


class Routing:
    """Of one channel in one process."""

    def __init__(
        self, channel: Channel, services: Services, senders: Senders | None, endpoint_rates: EndpointRates | None
    ) -> None:
        self._preparations = Preparations(channel, services.database)
        self._attempts = Attempts(channel, services)
        self._sandbox = Sandbox(channel.name, services)
        self._senders = senders
        self._endpoint_rates = endpoint_rates

    async def of(self, claimed: Sequence[Claim], lane: Lane) -> Mapping[UUID, Route | Wait]:
        """By message id, how each goes: in a sandbox, by its workspace's own sender, else by the operator's."""
        staying = await self._sandbox.routes(claimed)
        if not staying:
            return await self._outside(claimed, lane)
        leaving = [claim for claim in claimed if claim.id not in staying]
        return {**staying, **(await self._outside(leaving, lane) if leaving else {})}

    async def _outside(self, claimed: Sequence[Claim], lane: Lane) -> Mapping[UUID, Route | Wait]:
        """The same of what leaves the house."""
        routes: dict[UUID, Route | Wait] = {} if self._senders is None else await self._senders.routes(claimed, lane)
        others = [claim for claim in claimed if claim.id not in routes] if routes else claimed
        prepared = await self._preparations.of({claim.content_id for claim in others})
        ways = {claim.id: Route(self._attempts, *prepared[claim.content_id]) for claim in others}
        if self._endpoint_rates is None:
            return routes | ways
        return routes | await self._endpoint_rates.spread(others, ways, lane)
