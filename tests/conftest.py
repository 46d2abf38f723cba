"""Fixtures: real servers on free sockets, one of each per process of the run, fresh contents per test."""

import functools
import os
import shutil
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import redis
import trustme

from models import migrate
from models.session import Database
from tests.support import broker, http_sink, leak_check, ordering, postgres, processes, smtp_sink
from tests.support import scene as scenes
from tests.support.broker import ValkeyServer
from tests.support.http_sink import HttpSink
from tests.support.postgres import PostgresServer
from tests.support.scene import Scene
from tests.support.smtp_sink import SmtpSink

_FAST_FIRST = ("architecture", "unit")
_PATIENT = ("acceptance", "faults", "fuzz")
_LONG_S = 400

# A busy machine makes a slow example, not a wrong one.
hypothesis.settings.register_profile("wireroom", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("wireroom")


def pytest_configure(config: pytest.Config) -> None:
    """Have pytest make its folders where they are quick, unless told otherwise, and look for what must not get out."""
    config.pluginmanager.register(leak_check)
    if "TMPDIR" not in os.environ:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(processes.quick_root()))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three more than there are processors: of five tests at once three wait for something, and not for a processor."""
    return (os.cpu_count() or 1) + 3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick answers first, then what waits long among what works all the time; else the random order stays.

    Those with a database and those with a server run in one: the former hardly wait, the latter half of their time.
    """
    at_once = sorted((item for item in items if _folder(item.path) in _FAST_FIRST and not _is_patient(item)), key=_rank)
    busy = [item for item in items if _folder(item.path) not in _FAST_FIRST and not _is_patient(item)]
    patient = [item for item in items if _is_patient(item)]
    among = ordering.spread([item for item in patient if _asks_s(item) < _LONG_S], busy, until=0.9)
    items[:] = at_once + ordering.spread([item for item in patient if _asks_s(item) >= _LONG_S], among, until=0.7)


@functools.cache
def _folder(path: Path) -> str:
    return path.relative_to(Path(__file__).parent).parts[0]


def _rank(item: pytest.Item) -> int:
    return _FAST_FIRST.index(_folder(item.path))


def _asks_s(item: pytest.Item) -> float:
    """The time that it asks for; 0: no more than others."""
    asked = item.get_closest_marker("timeout")
    return 0.0 if asked is None else float(asked.args[0])


def _is_patient(item: pytest.Item) -> bool:
    """Who starts processes waits for them, and who asks for more time than others will need it."""
    has_processes = isinstance(item, pytest.Function) and "house" in item.fixturenames
    return has_processes or _folder(item.path) in _PATIENT or _asks_s(item) > 0


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """PostgreSQL, started once."""
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="session")
def _postgres_template(postgres_server: PostgresServer) -> str:
    name = postgres_server.create()
    migrate.upgrade(postgres_server.url(name))
    return name


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A fresh PostgreSQL database without tables."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, _postgres_template: str) -> Iterator[str]:
    """A fresh, migrated PostgreSQL database."""
    name = postgres_server.create(_postgres_template)
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh, migrated SQLite database."""
    path = tmp_path / "wireroom.db"
    shutil.copy(_sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database; the test runs once on each kind."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The same, open."""
    opened = Database.connect(database_url)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def _shared_valkey() -> Iterator[ValkeyServer]:
    with broker.running() as server:
        yield server


@pytest.fixture(scope="session")
def _line_to_valkey(_shared_valkey: ValkeyServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(_shared_valkey.url) as client:
        yield client


@pytest.fixture
def redis_url(_shared_valkey: ValkeyServer, _line_to_valkey: redis.Redis) -> str:
    """An empty Valkey. Tests that kill it take ``valkey`` instead."""
    _line_to_valkey.flushall()
    return _shared_valkey.url


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """A Valkey of the test's own, to be killed and started again."""
    with broker.running() as server:
        yield server


@pytest.fixture
async def mail_sink() -> AsyncIterator[SmtpSink]:
    """A mail server without TLS and without login."""
    async with smtp_sink.running() as sink:
        yield sink


@pytest.fixture
async def web_sink() -> AsyncIterator[HttpSink]:
    """A web server without TLS."""
    async with http_sink.running() as sink:
        yield sink


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority for the names and addresses of this machine."""
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """The server's side of TLS for localhost and 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def authority_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authority's certificate as a PEM file, for clients."""
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
async def scene(tmp_path: Path, database: Database, redis_url: str) -> AsyncIterator[Scene]:
    """A workspace on a fresh database of each kind."""
    async with scenes.opened(tmp_path, database, redis_url) as opened:
        yield opened
