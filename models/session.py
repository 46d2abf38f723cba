"""The database: engines, transactions, and the database's own clock.

Transactions are short and never span the network to a peer. On SQLite every writing transaction is
``BEGIN IMMEDIATE``, so that it waits for its turn at the start and never fails half-way as a reader that
wants to write; reading ones are deferred.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Self

import msgspec
from sqlalchemy import BigInteger, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

from models.errors import InvalidSetting, StorageUnavailable

_READ_ONLY: Final = "wireroom_read_only"
_BUSY_TIMEOUT_S: Final = 10
_CONNECT_S: Final = 5
_COMMAND_S: Final = 10
# Of a client whose machine is gone PostgreSQL hears nothing: what that has begun would keep its locks for hours, and
# with them the messages that the keeper is to give to others. No transaction of ours says nothing for that long.
# https://www.postgresql.org/docs/current/runtime-config-connection.html
_GONE_POSTGRESQL: Final = """
    SET idle_in_transaction_session_timeout = '10s';
    SET tcp_user_timeout = '20s';
    SET tcp_keepalives_idle = 30;
    SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 3;
"""


class now_ms(FunctionElement[int]):  # noqa: N801 - a SQL function, named as it is written
    """The database's clock in milliseconds; the only clock that leases and schedules know.

    The statement's own time: a clock that moves within a statement could not be compared with an index.
    """

    type = BigInteger()
    inherit_cache = True


@compiles(now_ms, "postgresql")
def _now_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS bigint)"


@compiles(now_ms, "sqlite")
def _now_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_OPTIONS: Final[dict[str, Any]] = {
    "json_serializer": _to_json,
    "json_deserializer": msgspec.json.decode,
    "hide_parameters": True,  # an error's words must not hold what a person wrote
}


class Database:
    """One pool of connections to one database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        # The same pool; neither BEGIN nor COMMIT is said on what it hands out.
        self._unbegun = engine if self.is_sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
        self._turn = asyncio.Lock()

    @classmethod
    def connect(cls, url: str, *, pool_size: int = 5, statement_s: float | None = _COMMAND_S) -> Self:
        """A database at ``url`` (``sqlite:///path`` or ``postgresql://…``); opens no connection yet.

        ``statement_s``: how long PostgreSQL may take for one statement; None for as long as it needs.
        """
        target = async_url(url)
        if target.get_backend_name() == "sqlite":
            engine = create_async_engine(
                target, pool_size=pool_size, connect_args={"timeout": _BUSY_TIMEOUT_S}, **_OPTIONS
            )
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(engine.sync_engine, "begin", _begin_sqlite)
        else:
            # A line that is dead at the other end must not stop a lease or the keeper without end.
            patience = {"timeout": _CONNECT_S, "command_timeout": statement_s}
            engine = create_async_engine(target, pool_size=pool_size, max_overflow=0, connect_args=patience, **_OPTIONS)
            event.listen(engine.sync_engine, "connect", _prepare_postgresql)
        return cls(engine)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A writing transaction; committed at the end. StorageUnavailable where the database cannot be reached."""
        with _honest():
            async with self._alone(), self.engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A reading transaction: one snapshot on SQLite, read committed on PostgreSQL."""
        with _honest():
            async with self.engine.connect() as connection:
                await connection.execution_options(**{_READ_ONLY: True})
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def look(self) -> AsyncIterator[AsyncConnection]:
        """Reading statements that need nothing of each other: on PostgreSQL each is a transaction of its own.

        So BEGIN and COMMIT are left out, each a round trip. Nothing is locked from one statement to the next, no
        setting lasts that is the transaction's, and nothing is read in slices. On SQLite as ``read``.
        """
        if self.is_sqlite:
            async with self.read() as connection:
                yield connection
        else:
            async with self._each_alone() as connection:
                yield connection

    @asynccontextmanager
    async def write_at_once(self) -> AsyncIterator[AsyncConnection]:
        """For one writing statement, which is the whole transaction: it is committed once it is executed.

        On PostgreSQL in one round trip instead of three; on SQLite as ``write``. StorageUnavailable as there.
        """
        if self.is_sqlite:
            async with self.write() as connection:
                yield connection
        else:
            async with self._each_alone() as connection:
                yield connection

    @asynccontextmanager
    async def _each_alone(self) -> AsyncIterator[AsyncConnection]:
        with _honest():
            async with self._unbegun.connect() as connection:
                yield connection

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """On SQLite, the turn among this process' writers; raises TimeoutError.

        SQLite itself lets them try again after longer and longer pauses: of eight at once one waits for seconds.
        """
        if not self.is_sqlite:
            yield
            return
        async with asyncio.timeout(_BUSY_TIMEOUT_S):
            await self._turn.acquire()
        try:
            yield
        finally:
            self._turn.release()

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


@contextmanager
def _honest() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Drivers raise errors of many kinds where a server is away; what is none of those goes on as it is.
        if _will_pass(error):
            raise StorageUnavailable(type(error).__name__) from error
        raise


# SQLSTATE classes: connection exception, transaction rollback (deadlock), insufficient resources (disk full),
# operator intervention (shutdown); and 25006, a server that is read-only for now, and 25P03, our own silence.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_PASSING_STATES: Final = ("08", "40", "53", "57", "25006", "25P03")
# Primary result codes: busy, locked, out of memory, read-only, I/O error, full, cannot open, protocol.
# https://www.sqlite.org/rescode.html
_PASSING_CODES: Final = frozenset({5, 6, 7, 8, 10, 13, 14, 15})


def _will_pass(error: BaseException) -> bool:
    """Whether the database, not the statement, is at fault: the same work may succeed later."""
    if isinstance(error, OSError | InterfaceError | PoolTimeoutError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _PASSING_CODES
    state = getattr(cause, "sqlstate", None)
    return isinstance(state, str) and state.startswith(_PASSING_STATES)


def async_url(url: str) -> URL:
    """The URL with the asynchronous driver that we use for its database; raises InvalidSetting for any other."""
    try:
        target = make_url(url)
    except Exception as error:
        # A wrong port is a ValueError, another mistake SQLAlchemy's own error: each is the setting's fault.
        raise InvalidSetting("WIREROOM_DATABASE_URL: not a database URL") from error
    match target.get_backend_name():
        case "sqlite":
            if target.host or target.username or target.password or target.port:
                raise InvalidSetting("WIREROOM_DATABASE_URL: a file is named as in sqlite:///var/wireroom.db")
            return target.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            sslmode = target.query.get("sslmode")
            target = target.set(drivername="postgresql+asyncpg").difference_update_query(["sslmode"])
            return target.update_query_dict({"ssl": sslmode}) if isinstance(sslmode, str) else target
        case other:
            raise InvalidSetting(f"WIREROOM_DATABASE_URL: {other} is neither sqlite nor postgresql")


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    # Asked for by statements, and not as the line is opened: a pooler in between refuses what it does not know there.
    connection.run_async(lambda driver: driver.execute(_GONE_POSTGRESQL))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver must begin no transaction by itself: _begin_sqlite does.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    deferred = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if deferred else "BEGIN IMMEDIATE")
