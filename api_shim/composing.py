"""From a draft to the rows that store it: address, consent, text. No I/O; what was read beforehand is ``Known``."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import msgspec

from api_shim.filling import compiled, fill_subject, missing
from api_shim.sandbox import address_in_sandbox
from api_shim.strict_json import pointer_to
from channels.registry import CHECKS, Entry
from channels.rendering import Texts, needs_liquid
from models import content as contents
from models.admission import (
    OPT_OUT_VARIABLE,
    PREFERENCES_VARIABLE,
    Consent,
    Draft,
    Recipient,
    address_of,
    attributes_of,
    check_consent,
    check_header,
    content_of,
    lane_of,
    variables_of,
)
from models.cache import WeighedCache
from models.content import Content
from models.errors import NotFound, Refused
from models.parts import part_for
from models.sandboxes import is_sandbox
from models.secrets import Keyring
from models.store import intake as store
from models.store.intake import NewMessage, Owned, TemplateVersion
from models.store.settings import WorkspaceSettings
from models.subject_words import searchable
from models.vocabulary import CampaignState, Channel, FailureReason, State

_TEXTS_KEPT: Final = 16 << 20  # characters
_LIQUID_WEIGHT: Final = 1 << 16  # what a compiled Liquid text takes beside its words, roughly

# PUSH, ONSITE and WEBHOOK send without any setting.
_BY_OPERATOR: Final[Mapping[Channel, str]] = {
    Channel.EMAIL: ", or the operator sets WIREROOM_SMTP_URL and WIREROOM_EMAIL_FROM",
    Channel.TELEGRAM: ", or the operator sets WIREROOM_TELEGRAM_BOT_TOKEN",
}

_Written = tuple[str | None, str | None, str]
"""(subject, body, format)."""

_Said = tuple[UUID, str | None, str | None, str]
"""(workspace id, subject, body, format): a content that has nothing else."""


class Known(msgspec.Struct):
    """What was read for a chunk of drafts; ``senders``: of workspaces that may need their own."""

    now: int
    recipients: Mapping[Owned, Recipient]
    templates: Mapping[Owned, TemplateVersion]
    campaigns: Mapping[Owned, CampaignState]
    journeys: set[Owned]
    keys: Mapping[tuple[UUID, str], tuple[UUID, bytes]]
    settings: Mapping[UUID, WorkspaceSettings]
    senders: Mapping[UUID, frozenset[Channel]]


class Addressed(msgspec.Struct, frozen=True):
    """A draft whose recipient, address and words are known."""

    draft: Draft
    recipient: Recipient
    address: str
    digest: bytes
    template: TemplateVersion | None
    content: Content

    @property
    def key(self) -> store.AddressKey:
        """What suppressions are looked up by."""
        return self.draft.workspace_id, self.draft.channel, self.digest


class Composer:
    """Turns drafts into messages. ``channels``: those that the operator has configured.

    ``traced``: messages keep where they stand in their traces.
    """

    def __init__(self, keyring: Keyring, channels: Mapping[Channel, Entry], *, traced: bool = False) -> None:
        self._keyring = keyring
        self._traced = traced
        self._channels = channels
        self._texts: WeighedCache[_Written, Texts] = WeighedCache(_TEXTS_KEPT)
        self._sources: WeighedCache[_Said, tuple[bytes, UUID]] = WeighedCache(_TEXTS_KEPT)

    def address(self, draft: Draft, known: Known) -> Addressed:
        """Resolve what the draft names; raises NotFound (no such contact) or Refused."""
        recipient = known.recipients.get((draft.workspace_id, draft.contact_id))
        if recipient is None:
            raise NotFound("no such contact")
        recipient = _with_defaults(recipient, known.settings[draft.workspace_id])
        template = None if draft.template_id is None else known.templates.get((draft.workspace_id, draft.template_id))
        if draft.template_id is not None and template is None:
            raise Refused(FailureReason.UNKNOWN_TEMPLATE, "no such template", "/templateId")
        if draft.campaign_id is not None and (draft.workspace_id, draft.campaign_id) not in known.campaigns:
            raise Refused(FailureReason.UNKNOWN_CAMPAIGN, "no such campaign", "/campaignId")
        if draft.journey_id is not None and (draft.workspace_id, draft.journey_id) not in known.journeys:
            raise Refused(FailureReason.UNKNOWN_JOURNEY, "no such journey", "/journeyId")
        if not self._can_send(draft, known):
            said = f"{draft.channel} has no sender: POST …/channels/{draft.channel} makes one"
            raise Refused(FailureReason.CHANNEL_NOT_CONFIGURED, said + _BY_OPERATOR.get(draft.channel, ""), "/channel")
        check = CHECKS[draft.channel]
        address = (address_in_sandbox if is_sandbox(draft.workspace_id) else address_of)(draft, recipient, check)
        digest = self._keyring.address_digest(draft.channel.value, address)
        parts = {} if template is None else template.parts
        content = content_of(draft, part_for(parts, draft.channel, recipient.locale))
        return Addressed(draft, recipient, address, digest, template, content)

    def _can_send(self, draft: Draft, known: Known) -> bool:
        if draft.channel in self._channels or draft.channel in known.senders[draft.workspace_id]:
            return True
        return is_sandbox(draft.workspace_id)

    def is_slow(self, addressed: Addressed) -> bool:
        """Whether composing it may take milliseconds: Liquid does."""
        content = addressed.content
        texts = self._texts.get((content.subject, content.body, content.format))
        if texts is not None:
            return texts.is_liquid
        return needs_liquid(content.subject or "") or needs_liquid(content.body or "")

    def compose(self, addressed: Addressed, consent: Consent, known: Known) -> tuple[NewMessage, list[str]]:
        """The message, and what its sender should be warned of; raises Refused. Any thread may ask."""
        draft = addressed.draft
        settings = known.settings[draft.workspace_id]
        check_consent(consent, essential=draft.essential)
        content = addressed.content
        texts = self._compiled(content)
        variables = variables_of(texts.names, attributes_of(addressed.recipient), as_text=not texts.is_liquid)
        if not draft.essential:
            variables |= {name: "" for name in (OPT_OUT_VARIABLE, PREFERENCES_VARIABLE) if name in texts.names}
        subject = fill_subject(texts, variables)
        for name, value in draft.headers.items():
            check_header(value, pointer_to(("headers", name)))
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
            "subject_words": searchable(subject),
            "address": addressed.address,
            "address_digest": addressed.digest,
            "topic": draft.topic,
            "essential": draft.essential,
            "on_unknown": draft.on_unknown,
            "track_opens": _tracked(draft, draft.track_opens, settings.track_opens),
            "track_clicks": _tracked(draft, draft.track_clicks, settings.track_clicks),
            "variables": variables,
            "metadata": draft.metadata,
        }
        if self._traced:
            details["traceparent"] = draft.traceparent
        ready = not paused and due_at <= known.now
        warnings = missing(texts, variables)
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

    def _compiled(self, content: Content) -> Texts:
        key = (content.subject, content.body, content.format)
        texts = self._texts.get(key)
        if texts is None:
            texts = compiled(content.subject, content.body, content.format)
            weight = len(content.subject or "") + len(content.body or "")
            self._texts.put(key, texts, weight + (_LIQUID_WEIGHT if texts.is_liquid else 0))
        return texts


def _with_defaults(recipient: Recipient, settings: WorkspaceSettings) -> Recipient:
    """The recipient, with the workspace's locale and time zone where it has none of its own."""
    locale = recipient.locale or settings.default_locale
    timezone = recipient.timezone or settings.default_timezone
    if (locale, timezone) == (recipient.locale, recipient.timezone):
        return recipient
    return msgspec.structs.replace(recipient, locale=locale, timezone=timezone)


def _tracked(draft: Draft, asked: bool | None, usual: bool) -> bool:
    """Whether to follow opens or clicks: as the message says, else as the workspace does; essential ones never."""
    return not draft.essential and (usual if asked is None else asked)
