"""What ``wireroom doctor`` finds of servers, keys and disks that are there, and are not as they should be."""

import asyncio
import base64
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis
import trustme

from channels import vapid
from models.secrets import load_keyring, load_own
from models.session import Database
from models.settings import StorageSettings
from tests.faults import small_disk
from tests.support.api import serving
from tests.support.broker import ValkeyServer
from tests.support.processes import short_folder
from tests.support.scene import storage_settings
from tests.support.waiting import wait_until
from wireroom import certificate_check, disk_check
from wireroom.doctor import examine
from wireroom.finding import Finding
from wireroom.ports import free_port

OTHER_KEY = "another secret key of thirty-two bytes and more"


async def found(part: str, **environment: str) -> Finding:
    """The one finding of a part."""
    findings = [each for each in await examine(environment) if each.part == part]
    assert len(findings) == 1, findings
    return findings[0]


async def test_a_broker_that_throws_keys_away_or_is_nearly_full_is_doubted(
    tmp_path: Path, valkey: ValkeyServer
) -> None:
    where = {"WIREROOM_DATA_DIR": str(tmp_path), "WIREROOM_REDIS_URL": valkey.url}
    plain = await found("broker", **where)
    assert (plain.ok, plain.detail, plain.mend) == (True, "answers, no limit of memory", None)
    with redis.Redis.from_url(valkey.url) as client:
        client.config_set("maxmemory", "100mb")
        roomy = await found("broker", **where)
        client.config_set("maxmemory-policy", "allkeys-lru")
        forgetful = await found("broker", **where)
        client.config_set("maxmemory-policy", "noeviction")
        used = int(client.info("memory")["used_memory"])
        client.config_set("maxmemory", used + used // 20)
        crowded = await found("broker", **where)
    assert roomy.detail.endswith("of 100 MB used, noeviction")
    assert roomy.mend is None
    assert (forgetful.ok, crowded.ok) == (True, True)
    assert "maxmemory-policy to noeviction" in str(forgetful.mend)
    assert "raise maxmemory" in str(crowded.mend)


async def test_a_broker_that_cannot_save_is_doubted_before_it_refuses(tmp_path: Path, valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.config_set("stop-writes-on-bgsave-error", "no")
        # Where it is to be saved there is a folder, over which no file can be put.
        (valkey.data_dir / "broker" / "dump.rdb").mkdir()
        client.bgsave()
        await wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] != "ok")
    told = await found("broker", WIREROOM_DATA_DIR=str(tmp_path), WIREROOM_REDIS_URL=valkey.url)
    assert told.ok
    assert "cannot save" in told.detail
    assert 'save ""' in str(told.mend)


async def test_who_may_not_ask_for_memory_may_use_it_all_the_same(tmp_path: Path, valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.execute_command("ACL", "SETUSER", "default", "-info")
    told = await found("broker", WIREROOM_DATA_DIR=str(tmp_path), WIREROOM_REDIS_URL=valkey.url)
    assert (told.ok, told.mend) == (True, None)
    assert "may not ask" in told.detail


def settings_of(storage: StorageSettings, secret_key: str = "") -> dict[str, str]:
    return {
        "WIREROOM_DATA_DIR": str(storage.data_dir),
        "WIREROOM_DATABASE_URL": storage.database_url,
        "WIREROOM_SECRET_KEY": secret_key or ",".join(storage.secret_keys),
    }


async def test_a_key_opens_what_is_sealed_or_is_said_not_to(tmp_path: Path, database_url: str, redis_url: str) -> None:
    storage = storage_settings(tmp_path, database_url, redis_url)
    assert (await found("secret key", **settings_of(storage))).detail == "opens all 0 of what is sealed"
    async with serving(tmp_path, database_url, redis_url) as api:
        tenant = await api.tenant()
        await tenant.post("/hooks", {"provider": "generic", "basicAuth": "ann:secret"})
        await tenant.post("/subscriptions", {"url": "https://example.org/told", "events": ["message.sent"]})
        await tenant.contact(webhookUrl="https://example.org/hook")
    well = await found("secret key", **settings_of(storage))
    assert well.ok
    assert int(well.detail.split()[2]) >= 5
    (old,) = storage.secret_keys
    newer = await found("secret key", **settings_of(storage, f"{OTHER_KEY},{old}"))
    assert newer.ok
    assert "need a former key: keep it" in newer.detail
    strange = await found("secret key", **settings_of(storage, OTHER_KEY))
    assert not strange.ok
    assert all(table in strange.detail for table in ("contacts", "hooks", "secrets", "subscriptions"))
    assert "add the former key" in str(strange.mend)
    with_none = await found("secret key", **settings_of(storage) | {"WIREROOM_SECRET_KEY": ""})
    assert not with_none.ok
    assert "restore secret.key" in str(with_none.mend)
    assert not (tmp_path / "secret.key").exists()


async def test_a_file_that_holds_no_key_is_named(tmp_path: Path, sqlite_url: str, redis_url: str) -> None:
    storage = storage_settings(tmp_path, sqlite_url, redis_url)
    (tmp_path / "secret.key").write_text("\n")
    told = await found("secret key", **settings_of(storage))
    assert not told.ok
    assert "secret.key holds no key" in told.detail


async def test_the_key_of_web_push_signs_what_its_public_half_verifies(
    tmp_path: Path, database: Database, database_url: str, redis_url: str
) -> None:
    storage = storage_settings(tmp_path, database_url, redis_url)
    fresh = await found("web push", **settings_of(storage))
    assert "made on first start" in fresh.detail
    scalar = await load_own(database, await load_keyring(database, storage), "vapid", vapid.new_key)
    file = tmp_path / "vapid"
    file.write_bytes(base64.urlsafe_b64encode(scalar))
    public = vapid.Vapid(vapid.read_key_file(file), "mailto:a@example.org").public_key
    kept = await found("web push", **settings_of(storage))
    assert public in kept.detail
    assert (kept.ok, kept.mend) == (True, None)
    unread = await found("web push", **settings_of(storage, OTHER_KEY))
    assert (unread.ok, unread.mend) == (False, "mend the secret key first")
    same = await found("web push", **settings_of(storage), WIREROOM_VAPID_PRIVATE_KEY_FILE=str(file))
    assert (same.ok, same.mend) == (True, None)
    file.write_bytes(base64.urlsafe_b64encode(vapid.new_key()))
    other = await found("web push", **settings_of(storage), WIREROOM_VAPID_PRIVATE_KEY_FILE=str(file))
    assert (other.ok, public in other.detail) == (True, False)
    assert "subscribed before" in str(other.mend)


@contextlib.asynccontextmanager
async def shown(certificate: trustme.LeafCert) -> AsyncIterator[str]:
    """An address at which TLS ends with this certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def certified(authority: trustme.CA, trusted: ssl.SSLContext, days: float, name: str = "127.0.0.1") -> Finding:
    """What is found of a certificate for ``name`` that ends so many days from now."""
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    begins = ends - datetime.timedelta(days=90)
    certificate = authority.issue_cert(name, not_before=begins, not_after=ends)
    async with shown(certificate) as url:
        told = await certificate_check.examine(url, trusted)
    assert told is not None
    return told


async def test_a_certificate_is_told_by_its_end(authority: trustme.CA, authority_file: Path) -> None:
    trusted = ssl.create_default_context(cafile=authority_file)
    good = await certified(authority, trusted, 60.5)
    assert (good.ok, good.detail, good.mend) == (True, "127.0.0.1: valid for 60 days more", None)
    late = await certified(authority, trusted, 3.5)
    assert (late.ok, late.detail) == (True, "127.0.0.1: valid for 3 days more")
    assert "renew it" in str(late.mend)
    over = await certified(authority, trusted, -1)
    assert (over.ok, over.detail) == (False, "127.0.0.1: certificate has expired")
    others = await certified(authority, trusted, 60, "example.org")
    assert not others.ok
    assert "127.0.0.1" in others.detail
    stranger = await certified(trustme.CA(), trusted, 60)
    assert not stranger.ok
    assert "renew or correct it" in str(stranger.mend)


async def test_an_address_that_is_not_reached_from_here_is_doubted_alone(tmp_path: Path) -> None:
    away = f"https://127.0.0.1:{free_port()}"
    told = await found("certificate", WIREROOM_DATA_DIR=str(tmp_path), WIREROOM_PUBLIC_URL=away)
    assert told.ok
    assert "cannot be reached from here" in told.detail
    assert await certificate_check.examine("http://127.0.0.1:8080") is None


def test_a_disk_that_is_soon_full_is_said_in_time() -> None:
    roomy = disk_check.examine(Path("/"), holds_messages=False)
    assert f"are free for {Path('/')}" in roomy.detail
    with short_folder() as folder, small_disk.mounted(folder, megabytes=256) as disk:
        if disk is None:
            pytest.skip(small_disk.LEFT_OUT)
        of_messages = disk_check.examine(folder, holds_messages=True)
        of_keys = disk_check.examine(folder, holds_messages=False)
        disk.fill()
        full = disk_check.examine(folder, holds_messages=False)
    assert (of_messages.ok, of_keys.ok, of_keys.mend) == (True, True, None)
    assert "retentionDays" in str(of_messages.mend)
    assert (full.ok, full.detail) == (False, f"0 MB are free for {folder}")
    assert "make room" in str(full.mend)
