"""The connection to Redis or Valkey, wherever it is, and whether it takes what we write."""

from typing import Any, Final
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from models.errors import InvalidSetting
from worker import redis_keys

_SOCKET_TIMEOUT_S: Final = 5.0  # longer than a consumer waits for a job
_TRIED_LIFE_MS: Final = 1_000


def connect(redis_url: str, *, connections: int, timeout_s: float = _SOCKET_TIMEOUT_S) -> redis.Redis:
    """A client for ``unix:///path``, ``redis://``, ``rediss://`` or ``redis+sentinel://``; connects on first use.

    Sentinels are ``redis+sentinel://[user:password@]host:port,host:port/service[/db]``. Raises InvalidSetting for
    any other address. Every operation ends within ``timeout_s`` seconds: it may raise redis.ConnectionError or
    redis.TimeoutError, and nothing is repeated, because a repeated fetch loses the jobs of the first one's reply.
    """
    options: dict[str, Any] = {
        "max_connections": connections,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "health_check_interval": 15,
        "retry": Retry(NoBackoff(), 0),
        # RESP3 brings maintenance notices, and with them a pool that hands out connections closed by the server.
        "protocol": 2,
    }
    try:
        if redis_url.startswith("redis+sentinel://"):
            return _through_sentinels(redis_url, options)
        return redis.Redis.from_url(redis_url, **options)
    except ValueError:
        # Without the cause: its text may hold the password.
        raise InvalidSetting(
            "WIREROOM_REDIS_URL: none of unix:///path, redis://host:port/db, rediss://host:port/db, "
            "redis+sentinel://host:port,host:port/service/db"
        ) from None


def try_out(client: redis.Redis) -> None:
    """Raises redis.RedisError where no wake-up can be written, though it answers.

    A replica, a server that is full, or keys that somebody else uses (``redis_keys.Occupied``).
    """
    client.set(redis_keys.TRIED, b"1", px=_TRIED_LIFE_MS)
    redis_keys.check(client)


def _through_sentinels(url: str, options: dict[str, Any]) -> redis.Redis:
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    service, _, db = parts.path.strip("/").partition("/")
    if not service or not hosts:
        raise ValueError
    addresses = [urlsplit(f"//{host}") for host in hosts.split(",")]
    sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has no types here
        [(address.hostname or "", address.port or 26_379) for address in addresses],
        sentinel_kwargs={name: value for name, value in options.items() if name != "max_connections"},
        **options,
    )
    client: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]  # redis-py has no types here
        unquote(service), db=int(db or 0), username=unquote(user) or None, password=unquote(password) or None
    )
    return client
