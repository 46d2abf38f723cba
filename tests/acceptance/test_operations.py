"""The commands of ``docs/operations/``, run as they stand there, against an installation at work."""

import re
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from models import migrate
from models.vocabulary import Channel
from tests.faults import versions
from tests.support.http_sink import HttpSink
from tests.support.installation import Installation
from tests.support.page_blocks import DOCS, blocks, typed
from tests.support.postgres import PostgresServer
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import wait_until
from wireroom import accounts

OPERATIONS = DOCS / "operations"
LINKED = "<p>Good morning. <a href='{{unsubscribeUrl}}'>No more</a></p>"


class Shop:
    """A workspace, by a key of it, in which messages are sent and looked at."""

    def __init__(self, workspace: str, token: str) -> None:
        self.workspace = workspace
        self.token = token

    async def ask(self, client: httpx.AsyncClient, method: str, path: str, status: int, **body: Any) -> Any:
        """The JSON of an answer with this status."""
        answer = await client.request(
            method,
            f"/api/workspaces/{self.workspace}{path}",
            headers={"Authorization": f"Bearer {self.token}"},
            json=body or None,
        )
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def send(self, client: httpx.AsyncClient, contact: str, channel: Channel, **more: str) -> str:
        """A message's id."""
        fields = {"contactId": contact, "channel": channel.value, "subject": "Hello", "body": LINKED}
        return str((await self.ask(client, "POST", "/messages", 200, **fields, **more))["id"])

    async def campaign(self, client: httpx.AsyncClient, name: str) -> str:
        """A campaign that is paused: what belongs to it waits."""
        made = str((await self.ask(client, "POST", "/campaigns", 201, name=name))["id"])
        await self.ask(client, "POST", f"/campaigns/{made}/pause", 200)
        return made

    async def status(self, client: httpx.AsyncClient, message: str) -> str:
        return str((await self.ask(client, "GET", f"/messages/{message}", 200))["status"])


async def opened(database_url: str) -> Shop:
    """A workspace, named as the pages name it."""
    workspace = await accounts.create_workspace(database_url, "acme")
    scopes = accounts.DEFAULT_SCOPES
    return Shop(workspace, (await accounts.create_token(database_url, "acme", scopes=scopes, expires_at=None))[1])


@pytest.fixture(params=["SQLite", "PostgreSQL"])
async def kind(request: pytest.FixtureRequest) -> str:
    """The heading of a section about backups."""
    return str(request.param)


@pytest.fixture
def installation(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path, redis_url: str, mail_sink: SmtpSink
) -> Installation:
    """One that sends mail, with a key of its own, which it makes."""
    (tmp_path / "var").mkdir(mode=0o700)
    url = f"sqlite:///{tmp_path}/var/wireroom.db" if kind == "SQLite" else request.getfixturevalue("postgres_url")
    settings = {
        "WIREROOM_DATABASE_URL": url,
        "WIREROOM_REDIS_URL": redis_url,
        "WIREROOM_SMTP_URL": f"smtp+plain://127.0.0.1:{mail_sink.port}",
        "WIREROOM_EMAIL_FROM": "Acme <noreply@example.org>",
        "WIREROOM_WEBHOOK_ALLOW_NETS": "127.0.0.0/8",
    }
    made = Installation(tmp_path, settings)
    if kind == "PostgreSQL":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        made.environment["PATH"] = f"{server.binaries}:{made.environment['PATH']}"
        made.environment["RESTORED_DATABASE_URL"] = request.getfixturevalue("empty_postgres_url")
    return made


def link_in(sink: SmtpSink, number: int, url: str) -> str:
    """The path of the link to unsubscribe in a mail."""
    found = re.search(rf"{re.escape(url)}(/u/[\w-]+)", str(sink.mails[number].parsed()["List-Unsubscribe"]))
    assert found is not None
    return found[1]


@dataclass(frozen=True)
class Sent:
    """What a shop has under way. ``done``: its messages that came to their end, each as it is shown.

    ``waiting``: two that wait for their campaigns, each by its campaign.
    """

    contact: str
    done: dict[str, Any]
    waiting: dict[str, str]


async def under_way(shop: Shop, client: httpx.AsyncClient, hook: str) -> Sent:
    """A mail and a webhook that arrived, and two webhooks that wait."""
    person = {"email": "ann@example.org", "webhookUrl": hook}
    contact = (await shop.ask(client, "POST", "/contacts", 201, **person))["id"]
    campaigns = [await shop.campaign(client, name) for name in ("first", "second")]
    waiting = {each: await shop.send(client, contact, Channel.WEBHOOK, campaignId=each) for each in campaigns}
    done = {}
    for channel, status in ((Channel.EMAIL, "SENT"), (Channel.WEBHOOK, "DELIVERED")):
        message = await shop.send(client, contact, channel)
        await wait_until(partial(_has, shop, client, message, status))
        done[message] = await shop.ask(client, "GET", f"/messages/{message}", 200)
        assert done[message]["attempts"]
    return Sent(contact, done, waiting)


async def test_a_backup_brings_back_what_was_there(
    installation: Installation, kind: str, mail_sink: SmtpSink, web_sink: HttpSink, tmp_path: Path
) -> None:
    environment = installation.environment
    take, restore = blocks(OPERATIONS / "backup.md", kind)
    await migrate.upgrade_at(environment["WIREROOM_DATABASE_URL"])
    shop = await opened(environment["WIREROOM_DATABASE_URL"])
    async with installation.running() as client:
        sent = await under_way(shop, client, web_sink.url("/in"))
        await typed(take, tmp_path, environment)
        late = await shop.send(client, sent.contact, Channel.EMAIL)
        again, waiting = sent.waiting.items()
        await shop.ask(client, "POST", f"/campaigns/{again[0]}/resume", 200)
        await wait_until(partial(_has, shop, client, again[1], "DELIVERED"))
        await wait_until(lambda: len(mail_sink.mails) == 2)

    assert "✓ secret key: opens all" in await typed(restore, tmp_path, environment)
    if kind == "PostgreSQL":
        environment["WIREROOM_DATABASE_URL"] = environment["RESTORED_DATABASE_URL"]
    async with installation.running() as client:
        for message, was in sent.done.items():
            assert await shop.ask(client, "GET", f"/messages/{message}", 200) == was
        await shop.ask(client, "GET", f"/messages/{late}", 404)
        assert (await client.get(link_in(mail_sink, 1, installation.url))).status_code == 404
        assert (await client.post(link_in(mail_sink, 0, installation.url))).status_code == 200
        next_one = {"contactId": sent.contact, "channel": "EMAIL", "subject": "Next", "body": "Hi"}
        assert (await shop.ask(client, "POST", "/messages", 422, **next_one))["failureReason"] == "opted_out"
        for campaign in sent.waiting:
            await shop.ask(client, "POST", f"/campaigns/{campaign}/resume", 200)
        await wait_until(lambda: len(web_sink.requests) == 4)
    came = [request.headers["webhook-id"] for request in web_sink.requests]
    assert sorted(came[1:]) == sorted([again[1], again[1], waiting[1]])


async def _has(shop: Shop, client: httpx.AsyncClient, message: str, status: str) -> bool:
    return await shop.status(client, message) == status


@pytest.mark.parametrize("kind", ["SQLite"], indirect=True)
async def test_a_new_key_opens_what_the_former_one_sealed_and_signed(
    installation: Installation, mail_sink: SmtpSink, web_sink: HttpSink, tmp_path: Path
) -> None:
    rotate, reseal, token = blocks(OPERATIONS / "keys.md")
    environment = installation.environment
    await migrate.upgrade_at(environment["WIREROOM_DATABASE_URL"])
    shop = await opened(environment["WIREROOM_DATABASE_URL"])
    async with installation.running() as client:
        sent = await under_way(shop, client, web_sink.url("/in"))
        await shop.ask(client, "POST", "/contacts", 201, webhookUrl=web_sink.url("/other"))

    told = await typed(f'{rotate}\nprintf %s "$WIREROOM_SECRET_KEY" > new.key', tmp_path, environment)
    assert re.search(r"✓ secret key: opens all \d+ of what is sealed, of which \d+ need a former key", told)
    environment["WIREROOM_SECRET_KEY"] = (tmp_path / "new.key").read_text()
    shop.token = (await typed(token, tmp_path, environment)).strip()
    async with installation.running() as client:
        for channel in (Channel.EMAIL, Channel.WEBHOOK):
            await shop.send(client, sent.contact, channel)
        await wait_until(lambda: len(mail_sink.mails) == 2 and len(web_sink.requests) == 2)
        old, new = (link_in(mail_sink, number, installation.url) for number in (0, 1))
        assert [(await client.get(link)).status_code for link in (old, new)] == [200, 200]
        assert new[:7] != old[:7]  # it names another key
        await keeps_and_erases_as_the_page_says(installation, shop, client, sent.contact)

    former = (tmp_path / "var" / "secret.key").rename(tmp_path / "former.key")
    broken = await typed("wireroom doctor", tmp_path, environment, code=1)
    assert "✗ secret key: does not open" in broken
    former = former.rename(tmp_path / "var" / "secret.key")
    await typed(reseal, tmp_path, environment)
    former.unlink()
    assert re.search(
        r"✓ secret key: opens all \d+ of what is sealed\n", await typed("wireroom doctor", tmp_path, environment)
    )


async def keeps_and_erases_as_the_page_says(
    installation: Installation, shop: Shop, client: httpx.AsyncClient, contact: str
) -> None:
    settings, erase = blocks(OPERATIONS / "retention.md")
    who = {"WIREROOM_TOKEN": shop.token, "WIREROOM_WORKSPACE": shop.workspace, "contact": contact}
    said = await typed(settings + erase, installation.folder, installation.environment | who)
    assert '"retentionDays":180' in said
    kept = await shop.ask(client, "GET", "/settings", 200)
    assert (kept["retentionDays"], kept["inboxRetentionDays"]) == (180, 30)
    await shop.ask(client, "GET", f"/contacts/{contact}", 404)


def test_what_the_page_says_of_an_upgrade_is_what_is_tried_with_two_versions() -> None:
    migrating, asking = blocks(OPERATIONS / "upgrade.md")
    assert shlex.split(migrating) == ["wireroom", *versions.MIGRATE]
    assert shlex.split(asking) == ["wireroom", "doctor"]
