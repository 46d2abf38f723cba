"""What the handlers work with, put together once per process."""

import asyncio
from functools import partial
from typing import Final

from api_shim.audit import Refusals
from api_shim.auth import Authenticator
from api_shim.house_levels import HouseLevels
from api_shim.idempotency import KeysInFlight
from api_shim.inbox_stream import Streams
from api_shim.intake import Intake
from api_shim.key_limits import KeyLimits
from api_shim.link_targets import LinkTargets
from api_shim.origins import Origins
from api_shim.reader_limits import ReaderLimits
from api_shim.sessions import Sessions
from api_shim.settings import ApiSettings
from api_shim.sign_ins import SignIns
from api_shim.sns_peer import Fetch, SnsPeer
from api_shim.traces import Traces, begin
from api_shim.traffic import Traffic
from api_shim.waiting import Waiters
from channels.guarded_http import GuardedHttp, HttpConfig
from channels.registry import configured
from channels.settings import ChannelSettings
from channels.vapid import Vapid, load
from models.metrics import Page
from models.passwords import Passwords
from models.secrets import Keyring, load_keyring, load_own
from models.session import Database
from models.settings import StorageSettings
from worker.wakeups import Wakeups

# SNS waits for 15 seconds for our answer.
_PATIENCE_S: Final = 10.0


class Services:
    """Everything a handler may ask for.

    The keyring lies in the database in part, so it and the intake are made when they are first needed: the
    process starts, and says what is missing, while the database is away.
    """

    def __init__(
        self,
        settings: ApiSettings,
        storage: StorageSettings,
        database: Database,
        wakeups: Wakeups,
        channels: ChannelSettings,
        fetch: Fetch | None = None,
    ) -> None:
        """``fetch`` replaces the way to Amazon SNS."""
        self.settings = settings
        self.database = database
        self.wakeups = wakeups
        self.traffic = Traffic()
        self.traces: Traces = begin(settings.traces)
        self.house_levels = HouseLevels(database, wakeups)
        self.metrics_page = Page()
        self.authenticator = Authenticator(database)
        self.sessions = Sessions(database, settings.public_url)
        self.sign_ins = SignIns()
        self.refusals = Refusals()
        self.reader_limits = ReaderLimits()
        self.key_limits = KeyLimits(settings.key_rate)
        self.passwords = Passwords()
        self.waiters = Waiters(database)
        self.inbox_streams = Streams(database)
        self.inbox_origins = Origins(database, settings.public_url)
        self.keys_in_flight = KeysInFlight()
        self.reports_turn = asyncio.Semaphore(2)
        self.link_targets = LinkTargets()
        self.channels = configured(channels)
        self.channel_settings = channels
        self._http = GuardedHttp(HttpConfig(allow_nets=channels.webhook_allow_nets, total_timeout_s=_PATIENCE_S))
        self.sns = SnsPeer(fetch or self._http.get)
        self._storage = storage
        self._keyring: Keyring | None = None
        self._intake: Intake | None = None
        self._vapid: Vapid | None = None
        self._making = asyncio.Lock()

    async def keyring(self) -> Keyring:
        """The keyring; raises StorageUnavailable while the database is away."""
        if self._keyring is None:
            async with self._making:
                if self._keyring is None:
                    self._keyring = await load_keyring(self.database, self._storage)
        return self._keyring

    async def intake(self) -> Intake:
        """The intake; raises StorageUnavailable while the database is away."""
        if self._intake is None:
            keyring = await self.keyring()
            self._intake = Intake(self.database, keyring, self.wakeups, self.channels, self.traffic)
        return self._intake

    async def vapid(self) -> Vapid:
        """How we sign for push services; raises StorageUnavailable while the database is away."""
        if self._vapid is None:
            settings = self.channel_settings
            keep = partial(load_own, self.database, await self.keyring())
            self._vapid = await load(settings.vapid_private_key_file, settings.vapid_subject, keep)
        return self._vapid

    async def close(self) -> None:
        """Finish what is under way and close every connection."""
        self.waiters.close()
        self.inbox_streams.close()
        await self.waiters.drain()
        await self.inbox_streams.drain()
        if self._intake is not None:
            await self._intake.drain()
        await self.authenticator.drain()
        await self.sns.drain()
        await self.house_levels.drain()
        await self._http.close()
        await asyncio.to_thread(self.wakeups.close)
        await asyncio.to_thread(self.passwords.close)
        await asyncio.to_thread(self.traces.stop)
        await self.database.close()
