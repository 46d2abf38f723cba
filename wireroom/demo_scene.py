"""The demo's stage: a workspace with its contacts and hook, the messages sent so far, and where each one stands."""

import asyncio
import secrets as random_secrets
import time
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from channels import standard_webhooks
from models.evidence import Provider
from models.vocabulary import Channel, Role, Scope, Status
from wireroom import accounts, demo_story, user_accounts
from wireroom.api import Client
from wireroom.demo_check import Sent, differences
from wireroom.demo_sinks import Sinks
from wireroom.demo_story import Letter, Person
from wireroom.demo_view import Board, Shown
from wireroom.up import Stack

_WORKSPACE: Final = "demo"
_PATIENCE_S: Final = 60.0
"""How long after the last request a message may still be on its way."""
_PACE_S: Final = 0.12
_POLL_S: Final = 0.2
_PAGE: Final = 200
_PASSWORD_BYTES: Final = 12
_REPORTING: Final = (Channel.PUSH, Channel.ONSITE)
"""Where a reader's own devices report what was done."""


@dataclass(slots=True)
class Scene:
    """What is set up, what was sent, and what of it is not as it should be. ``password``: of ``demo_story.PERSON``."""

    client: Client
    workspace: str
    token: str
    password: str
    contacts: dict[str, str]
    secrets: dict[str, str]
    hook: dict[str, Any]
    board: Board
    sinks: Sinks
    sent: dict[str, Sent] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    is_over: bool = False

    @classmethod
    async def furnish(cls, stack: Stack, sinks: Sinks, title: str) -> Self:
        """Make the workspace, its token, somebody who signs in, the contacts, their browsers and a generic hook.

        Raises WireroomError.
        """
        url = stack.storage.database_url
        workspace = await accounts.create_workspace(url, _WORKSPACE)
        _, token = await accounts.create_token(url, workspace, scopes=list(Scope), expires_at=None)
        password = random_secrets.token_urlsafe(_PASSWORD_BYTES)
        await user_accounts.create(url, demo_story.PERSON, workspace, Role.ADMIN, password)
        client = Client(stack.listens_at, workspace, token)
        crowd = demo_story.people()
        secrets = {person.external_id: standard_webhooks.new_secret() for person in crowd}
        contacts = {
            person.external_id: str((await client.post("/contacts", _contact(person, secrets, sinks)))["id"])
            for person in crowd
        }
        key = await _push_key(stack.listens_at, workspace)
        for person in crowd:
            for subscription in _subscriptions(person, key, sinks):
                await client.post("/push", {"contactId": contacts[person.external_id], **subscription})
        hook = await client.post("/hooks", {"provider": Provider.GENERIC.value})
        expected = len(demo_story.singles(crowd)) + len(demo_story.batch(crowd))
        return cls(client, workspace, token, password, contacts, secrets, hook, Board(title, expected), sinks)

    def ending(self, message_id: str) -> Status | None:
        """The status a message is to end in: as the story says; what comes after the story is opened."""
        if message_id in self.sent:
            return self.sent[message_id].letter.ending
        return Status.OPENED if self.is_over else None

    async def play(self) -> None:
        """Send the whole story and wait until it has ended, or for too long; then note what is not as it should be."""
        crowd = demo_story.people()
        for letter in demo_story.singles(crowd):
            self._accept(letter, await self.client.post("/messages", self._request(letter)))
            await asyncio.sleep(_PACE_S)
        letters = demo_story.batch(crowd)
        answer = await self.client.post("/messages/batch", [self._request(letter) for letter in letters])
        for letter, one in zip(letters, answer["data"], strict=True):
            if "message" in one:
                self._accept(letter, one["message"])
            else:
                self.faults.append(f"refused: {one['problem'].get('title')} {one['problem'].get('detail', '')}")
        give_up_at = time.monotonic() + _PATIENCE_S
        while time.monotonic() < give_up_at:
            if not self._unfinished():
                break
            await asyncio.sleep(_POLL_S)
        self.is_over = True
        self.faults += self._unfinished()
        self.faults += differences(self.sent.values(), self.sinks.arrivals)
        self.faults += self.sinks.push_service.faults
        kept = {urlsplit(row["endpoint"]).path for row in (await self.client.get("/push", limit=_PAGE))["data"]}
        if kept != {person.browser for person in crowd}:
            self.faults.append(f"the browsers that are kept are not those that there are: {sorted(kept)}")

    async def watch(self) -> None:
        """Read back where every message stands, again and again, until cancelled."""
        names = {contact: name for name, contact in self.contacts.items()}
        while True:
            page = await self.client.get("/messages", limit=_PAGE)
            for row in reversed(page["data"]):
                shown = self.board.rows.get(row["id"])
                if shown is None:
                    shown = Shown(row["id"], Channel(row["channel"]), names[row["contactId"]], row["subject"] or "")
                    self.board.rows[row["id"]] = shown
                shown.status = Status(row["status"])
            await asyncio.sleep(_POLL_S)

    def _request(self, letter: Letter) -> dict[str, Any]:
        # Tracking would rewrite a mail's body and a chat's buttons, and the demo compares every byte of them.
        is_tracked = letter.channel in _REPORTING
        tracking = {"opens": is_tracked, "clicks": is_tracked}
        contact = self.contacts[letter.person.external_id]
        return {"contactId": contact, "channel": letter.channel.value, "tracking": tracking, **letter.request}

    def _accept(self, letter: Letter, message: dict[str, Any]) -> None:
        name = letter.person.external_id
        self.sent[message["id"]] = Sent(letter, message["id"], self.contacts[name], self.secrets[name])

    def _unfinished(self) -> list[str]:
        """What is not yet where the story ends."""
        rows = self.board.rows
        stands = {one: rows[one].status if one in rows else Status.QUEUED for one in self.sent}
        return [
            f"{one} is {stands[one].value}, not {sent.letter.ending.value}"
            for one, sent in self.sent.items()
            if stands[one] is not sent.letter.ending
        ]


async def _push_key(url: str, workspace: str) -> str:
    """What a page subscribes with."""
    async with httpx.AsyncClient(trust_env=False) as anybody:
        return str((await anybody.get(f"{url}/push/{workspace}/key")).raise_for_status().json()["key"])


def _subscriptions(person: Person, key: str, sinks: Sinks) -> list[dict[str, str]]:
    browsers = [sinks.push_service.subscribe(person.browser, key, is_gone=False)]
    if person.has_lost_phone:
        browsers.append(sinks.push_service.subscribe(person.lost_browser, key, is_gone=True))
    return [browser.subscription(sinks.pushes.url) for browser in browsers]


def _contact(person: Person, secrets: dict[str, str], sinks: Sinks) -> dict[str, Any]:
    return {
        "externalId": person.external_id,
        "firstName": person.first_name,
        "email": person.email,
        "attributes": {"shelf": person.shelf},
        "telegramChatId": person.chat_id,
        "webhookUrl": f"{sinks.hooks.url}/{person.external_id}",
        "webhookSecret": secrets[person.external_id],
    }
