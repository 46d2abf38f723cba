"""The demo's stage: a workspace with its contacts and hook, the messages sent so far, and where each one stands."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final, Self

from channels import standard_webhooks
from models.vocabulary import Channel, Provider, Scope, Status
from wireroom import accounts, demo_story
from wireroom.client import Client
from wireroom.demo_check import Sent, differences
from wireroom.demo_sinks import Arrivals, Sinks
from wireroom.demo_story import Letter, Person
from wireroom.demo_view import Board, Shown
from wireroom.up import Stack

_WORKSPACE: Final = "demo"
_PATIENCE_S: Final = 60.0
"""How long after the last request a message may still be on its way."""
_PACE_S: Final = 0.12
_POLL_S: Final = 0.2
_PAGE: Final = 200


@dataclass(slots=True)
class Scene:
    """What is set up, what was sent, and what of it is not as it should be."""

    client: Client
    workspace: str
    token: str
    contacts: dict[str, str]
    secrets: dict[str, str]
    hook: dict[str, Any]
    board: Board
    sent: dict[str, Sent] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    is_over: bool = False

    @classmethod
    async def furnish(cls, stack: Stack, sinks: Sinks, title: str) -> Self:
        """Make the workspace, its token, the contacts and a generic hook; raises WireroomError."""
        url = stack.storage.database_url
        workspace = await accounts.create_workspace(url, _WORKSPACE)
        _, token = await accounts.create_token(url, workspace, scopes=list(Scope), expires_at=None)
        client = Client(stack.listens_at, workspace, token)
        crowd = demo_story.people()
        secrets = {person.external_id: standard_webhooks.new_secret() for person in crowd}
        contacts = {
            person.external_id: str((await client.post("/contacts", _contact(person, secrets, sinks)))["id"])
            for person in crowd
        }
        hook = await client.post("/hooks", {"provider": Provider.GENERIC.value})
        expected = len(demo_story.singles(crowd)) + len(demo_story.batch(crowd))
        return cls(client, workspace, token, contacts, secrets, hook, Board(title, expected))

    def ending(self, message_id: str) -> Status | None:
        """The status a message is to end in: as the story says; what comes after the story is opened."""
        if message_id in self.sent:
            return self.sent[message_id].letter.ending
        return Status.OPENED if self.is_over else None

    async def play(self, arrivals: Arrivals) -> None:
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
        self.faults += differences(self.sent.values(), arrivals)

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
        # Tracking would rewrite the body, and the demo compares every byte of it.
        tracking = {"opens": False, "clicks": False}
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


def _contact(person: Person, secrets: dict[str, str], sinks: Sinks) -> dict[str, Any]:
    return {
        "externalId": person.external_id,
        "firstName": person.first_name,
        "email": person.email,
        "attributes": {"shelf": person.shelf},
        "webhookUrl": f"http://127.0.0.1:{sinks.http_port}/{person.external_id}",
        "webhookSecret": secrets[person.external_id],
    }
