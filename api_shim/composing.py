"""From a draft to the rows that store it: address, consent, text. No I/O; what was read beforehand is ``Known``."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import msgspec

from channels.registry import Entry
from channels.rendering import RenderError, Text
from models import content as contents
from models.admission import (
    Consent,
    Draft,
    Recipient,
    address_of,
    attributes_of,
    check_consent,
    check_header,
    content_of,
    lane_of,
)
from models.cache import WeighedCache
from models.content import Content
from models.errors import NotFound, Refused
from models.parts import part_for
from models.secrets import Keyring
from models.store import intake as store
from models.store.intake import NewMessage, Owned, TemplateVersion
from models.vocabulary import CampaignState, Channel, FailureReason, State

_TEXTS_KEPT: Final = 16 << 20  # characters
_LARGEST_BODY: Final = 2 << 20  # characters
_LONGEST_SUBJECT: Final = 998  # characters: a line of a mail (RFC 5322, section 2.1.1)
_WITHOUT_SENDER: Final = {
    Channel.EMAIL: "until the operator sets WIREROOM_SMTP_URL and WIREROOM_EMAIL_FROM and starts Wireroom again"
}


_Said = tuple[UUID, str | None, str | None, str]
"""(workspace id, subject, body, format): a content that has nothing else."""


class Known(msgspec.Struct):
    """What was read for a chunk of drafts."""

    now: int
    recipients: Mapping[Owned, Recipient]
    templates: Mapping[Owned, TemplateVersion]
    campaigns: Mapping[Owned, CampaignState]
    journeys: set[Owned]
    keys: Mapping[tuple[UUID, str], tuple[UUID, bytes]]


class Addressed(msgspec.Struct, frozen=True):
    """A draft whose recipient and address are known."""

    draft: Draft
    recipient: Recipient
    address: str
    digest: bytes
    template: TemplateVersion | None

    @property
    def key(self) -> store.AddressKey:
        """What suppressions are looked up by."""
        return self.draft.workspace_id, self.draft.channel, self.digest


class Composer:
    """Turns drafts into messages. ``channels``: those that are configured."""

    def __init__(self, keyring: Keyring, channels: Mapping[Channel, Entry]) -> None:
        self._keyring = keyring
        self._channels = channels
        self._texts: WeighedCache[tuple[str, bool], Text] = WeighedCache(_TEXTS_KEPT)
        self._sources: WeighedCache[_Said, tuple[bytes, UUID]] = WeighedCache(_TEXTS_KEPT)

    def address(self, draft: Draft, known: Known) -> Addressed:
        """Resolve what the draft names; raises NotFound (no such contact) or Refused."""
        recipient = known.recipients.get((draft.workspace_id, draft.contact_id))
        if recipient is None:
            raise NotFound("no such contact")
        template = None if draft.template_id is None else known.templates.get((draft.workspace_id, draft.template_id))
        if draft.template_id is not None and template is None:
            raise Refused(FailureReason.UNKNOWN_TEMPLATE, "no such template", "/templateId")
        if draft.campaign_id is not None and (draft.workspace_id, draft.campaign_id) not in known.campaigns:
            raise Refused(FailureReason.UNKNOWN_CAMPAIGN, "no such campaign", "/campaignId")
        if draft.journey_id is not None and (draft.workspace_id, draft.journey_id) not in known.journeys:
            raise Refused(FailureReason.UNKNOWN_JOURNEY, "no such journey", "/journeyId")
        entry = self._channels.get(draft.channel)
        if entry is None:
            said = f"{draft.channel} has no sender {_WITHOUT_SENDER.get(draft.channel, 'in this version')}"
            raise Refused(FailureReason.CHANNEL_NOT_CONFIGURED, said, "/channel")
        address = address_of(draft, recipient, entry.check_address)
        digest = self._keyring.address_digest(draft.channel.value, address)
        return Addressed(draft, recipient, address, digest, template)

    def compose(self, addressed: Addressed, consent: Consent, known: Known) -> tuple[NewMessage, list[str]]:
        """The message, and what its sender should be warned of; raises Refused."""
        draft = addressed.draft
        check_consent(consent, essential=draft.essential)
        parts = {} if addressed.template is None else addressed.template.parts
        content = content_of(draft, part_for(parts, draft.channel, addressed.recipient.locale))
        attributes = attributes_of(addressed.recipient)
        subject, asked = self._render(content, attributes)
        for name, value in draft.headers.items():
            check_header(value, f"/headers/{name}")
        campaign = None if draft.campaign_id is None else known.campaigns[draft.workspace_id, draft.campaign_id]
        source, content_id = self._source(draft.workspace_id, content)
        lane = lane_of(draft)
        if campaign is CampaignState.CANCELLED:
            raise Refused(FailureReason.CANCELLED, "the campaign was cancelled", "/campaignId")
        paused = campaign is CampaignState.PAUSED
        due_at = known.now if draft.send_at is None else max(draft.send_at, known.now)
        row = {
            "id": draft.id,
            "workspace_id": draft.workspace_id,
            "contact_id": draft.contact_id,
            "campaign_id": draft.campaign_id,
            "journey_id": draft.journey_id,
            "channel": draft.channel,
            "lane": lane,
            "state": State.QUEUED,
            "due_at": due_at,
            "expires_at": draft.expires_at,
            "paused": paused,
            "queued_at": known.now,
        }
        details = {
            "message_id": draft.id,
            "workspace_id": draft.workspace_id,
            "content_id": content_id,
            "template_version_id": None if addressed.template is None else addressed.template.id,
            "step": draft.step,
            "subject": subject,
            "address": addressed.address,
            "address_digest": addressed.digest,
            "topic": draft.topic,
            "essential": draft.essential,
            "on_unknown": draft.on_unknown,
            "track_opens": draft.track_opens is not False,
            "track_clicks": draft.track_clicks is not False,
            "variables": {name: attributes[name] for name in asked if name in attributes},
            "metadata": draft.metadata,
        }
        ready = not paused and due_at <= known.now
        warnings = [f"{name} has no value; it is sent empty" for name in sorted(asked) if name not in attributes]
        group = (draft.channel, lane, draft.workspace_id)
        return NewMessage(group, row, details, source, ready, draft.idempotency), warnings

    def _source(self, workspace_id: UUID, content: Content) -> tuple[bytes, UUID]:
        """The stored form and its id: the same bytes for a whole batch that says the same, so they are kept."""
        if content.headers or content.attachments or content.options:
            source = contents.encode(content)
            return source, contents.content_id(workspace_id, source)
        key = (workspace_id, content.subject, content.body, content.format)
        found = self._sources.get(key)
        if found is None:
            source = contents.encode(content)
            found = source, contents.content_id(workspace_id, source)
            self._sources.put(key, found, 2 * len(source))
        return found

    def _render(self, content: Content, attributes: Mapping[str, str]) -> tuple[str | None, frozenset[str]]:
        """The rendered subject, and every name that subject and body ask for."""
        names: frozenset[str] = frozenset()
        subject = None
        if content.subject is not None:
            text = self._text(content.subject, "/subject", escape=False)
            _check_size(text, attributes, _LONGEST_SUBJECT, "/subject")
            subject = text.fill(attributes)
            check_header(subject, "/subject")
            names |= text.names
        if content.body is not None:
            text = self._text(content.body, "/body", escape=content.format == "html")
            _check_size(text, attributes, _LARGEST_BODY, "/body")
            names |= text.names
        return subject, names

    def _text(self, source: str, pointer: str, *, escape: bool) -> Text:
        key = (source, escape)
        text = self._texts.get(key)
        if text is None:
            try:
                text = Text(source, escape=escape)
            except RenderError as error:
                raise Refused(FailureReason.RENDER_ERROR, str(error), pointer) from None
            self._texts.put(key, text, len(source))
        return text


def _check_size(text: Text, attributes: Mapping[str, str], most: int, pointer: str) -> None:
    """Raises Refused where the filled text is too long: a short one may ask for a long value many times."""
    if text.size(attributes) > most:
        said = f"with the contact's values it is longer than {most:,} characters"
        raise Refused(FailureReason.RENDER_ERROR, said, pointer)
