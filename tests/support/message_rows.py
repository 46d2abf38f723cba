"""Messages of every kind, written straight into the tables: for lists, which read whatever there is."""

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from models.ids import new_id
from models.store.bulk import insert_ignoring
from models.subject_words import searchable
from models.tables import message_details, messages
from models.vocabulary import Channel, Fact, Lane, OnUnknown, State

SUBJECTS = ("Spring Sale", "Spring is here: a SALE", "Your order 17", "ÄPFEL für alle", "snow", None)


def id_of(milliseconds: int) -> UUID:
    """The id of a message that was made then."""
    return UUID(int=(milliseconds << 80) | (new_id().int & ((1 << 80) - 1)))


class Mixture:
    """Where the messages of a test take their contacts, campaigns and journeys from."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.contacts = [new_id() for _ in range(3)]
        self.campaigns = [new_id() for _ in range(2)]
        self.journeys = [new_id()]

    def row(self, workspace_id: UUID) -> tuple[dict[str, Any], dict[str, Any]]:
        """A message and its details."""
        dice, message_id = self.dice, new_id()
        facts = {f"{fact.value}_at": dice.choice([None, None, None, *range(1_000, 1_004)]) for fact in Fact}
        if any(at is not None for at in facts.values()) and facts["sent_at"] is None:
            facts["sent_at"] = 1_004  # whoever reports on a message proves that it was sent
        subject = dice.choice(SUBJECTS)
        row = {
            "id": message_id,
            "workspace_id": workspace_id,
            "contact_id": dice.choice(self.contacts),
            "campaign_id": dice.choice([None, *self.campaigns]),
            "journey_id": dice.choice([None, *self.journeys]),
            "channel": dice.choice(list(Channel)).value,
            "lane": Lane.BULK.value,
            "state": dice.choice(list(State)).value,
            "due_at": 0,
            "queued_at": 0,
            **(facts if dice.random() < 0.6 else dict.fromkeys(facts)),
        }
        details = {
            "message_id": message_id,
            "workspace_id": workspace_id,
            "content_id": new_id(),
            "step": dice.randint(1, 3),
            "subject": subject,
            "subject_words": searchable(subject),
            "address_digest": b"",
            "on_unknown": OnUnknown.RETRY.value,
            "track_opens": False,
            "track_clicks": False,
            "variables": {},
            "metadata": {},
        }
        return row, details

    async def write(self, connection: AsyncConnection, workspace_id: UUID, number: int) -> Sequence[UUID]:
        """Insert ``number`` messages; their ids, the oldest first."""
        made = [self.row(workspace_id) for _ in range(number)]
        await insert_ignoring(connection, messages, [row for row, _ in made])
        await insert_ignoring(connection, message_details, [details for _, details in made])
        return [row["id"] for row, _ in made]
