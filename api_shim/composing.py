"""From a draft to the rows that store it: address, consent, text. No I/O; what was read beforehand is ``Known``."""

from collections.abc import Mapping
from typing import Any, Final
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
    format_of,
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
from models.store.intake import Owned, TemplateVersion
from models.store.new_messages import NewMessage
from models.store.settings import WorkspaceSettings
from models.vocabulary import CampaignState, Channel, FailureReason

_TEXTS_KEPT: Final = 32 << 20  # characters
_LIQUID_WEIGHT: Final = 1 << 16  # what a compiled Liquid text takes beside its words, roughly

_NO_PART: Final[Mapping[str, Any]] = {}

# PUSH, ONSITE and WEBHOOK send without any setting.
_BY_OPERATOR: Final[Mapping[Channel, str]] = {
    Channel.EMAIL: ", or the operator sets WIREROOM_SMTP_URL and WIREROOM_EMAIL_FROM",
    Channel.TELEGRAM: ", or the operator sets WIREROOM_TELEGRAM_BOT_TOKEN",
}

_Said = tuple[UUID, str | None, str | None, str]
"""(workspace id, subject, body, format)."""


class Worded(msgspec.Struct, frozen=True):
    """What is the same for all messages of a workspace that say the same.

    ``source`` and ``content_id``: the stored form and its id, of a content that has words alone.
    """

    texts: Texts
    source: bytes
    content_id: UUID


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
    """A draft whose recipient, address and words are known; ``worded`` where the same was said lately."""

    draft: Draft
    recipient: Recipient
    address: str
    digest: bytes
    template: TemplateVersion | None
    content: Content
    worded: Worded | None

    @property
    def key(self) -> store.AddressKey:
        """What suppressions are looked up by."""
        return self.draft.workspace_id, self.draft.channel, self.digest


class Composer:
    """Turns drafts into messages. ``channels``: those that the operator has configured."""

    def __init__(self, keyring: Keyring, channels: Mapping[Channel, Entry]) -> None:
        self._keyring = keyring
        self._channels = channels
        self._worded: WeighedCache[_Said, Worded] = WeighedCache(_TEXTS_KEPT)

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
        part = _NO_PART if template is None else part_for(template.parts, draft.channel, recipient.locale)
        content = content_of(draft, part)
        worded = self._worded.get((draft.workspace_id, content.subject, content.body, content.format))
        return Addressed(draft, recipient, address, digest, template, content, worded)

    def _can_send(self, draft: Draft, known: Known) -> bool:
        if draft.channel in self._channels or draft.channel in known.senders[draft.workspace_id]:
            return True
        return is_sandbox(draft.workspace_id)

    def says_slowly(self, draft: Draft) -> bool:
        """Whether the draft's own words are slow to compose, as ``is_slow`` says once its template is known."""
        form = draft.format or format_of(draft.body)
        worded = self._worded.get((draft.workspace_id, draft.subject, draft.body, form))
        return _is_liquid(worded, draft.subject, draft.body)

    def is_slow(self, addressed: Addressed) -> bool:
        """Whether composing it may take milliseconds: Liquid does."""
        return _is_liquid(addressed.worded, addressed.content.subject, addressed.content.body)

    def compose(self, addressed: Addressed, consent: Consent, known: Known) -> tuple[NewMessage, list[str]]:
        """The message, and what its sender should be warned of; raises Refused. Any thread may ask."""
        draft = addressed.draft
        settings = known.settings[draft.workspace_id]
        check_consent(consent, essential=draft.essential)
        worded = addressed.worded or self._word(draft.workspace_id, addressed.content)
        texts = worded.texts
        variables = _variables(texts, addressed.recipient, essential=draft.essential) if texts.names else {}
        subject = fill_subject(texts, variables)
        for name, value in draft.headers.items():
            check_header(value, pointer_to(("headers", name)))
        campaign = None if draft.campaign_id is None else known.campaigns[draft.workspace_id, draft.campaign_id]
        source, content_id = _stored_form(draft.workspace_id, addressed.content, worded)
        lane = lane_of(draft)
        if campaign is CampaignState.CANCELLED:
            raise Refused(FailureReason.CANCELLED, "the campaign was cancelled", "/campaignId")
        paused = campaign is CampaignState.PAUSED
        due_at = known.now if draft.send_at is None else max(draft.send_at, known.now)
        return (
            NewMessage(
                draft=draft,
                group=(draft.channel, lane, draft.workspace_id),
                queued_at=known.now,
                due_at=due_at,
                paused=paused,
                ready=not paused and due_at <= known.now,
                content_id=content_id,
                content_source=source,
                template_version_id=None if addressed.template is None else addressed.template.id,
                subject=subject,
                address=addressed.address,
                address_digest=addressed.digest,
                track_opens=_tracked(draft, draft.track_opens, settings.track_opens),
                track_clicks=_tracked(draft, draft.track_clicks, settings.track_clicks),
                variables=variables,
            ),
            missing(texts, variables),
        )

    def _word(self, workspace_id: UUID, content: Content) -> Worded:
        """Compile the words, unless another message of the workspace says the same; raises Refused."""
        key = (workspace_id, content.subject, content.body, content.format)
        worded = self._worded.get(key)
        if worded is None:
            texts = compiled(content.subject, content.body, content.format)
            source = contents.encode(Content(content.subject, content.body, content.format))
            worded = Worded(texts, source, contents.content_id(workspace_id, source))
            self._worded.put(key, worded, 3 * len(source) + (_LIQUID_WEIGHT if texts.is_liquid else 0))
        return worded


def _is_liquid(worded: Worded | None, subject: str | None, body: str | None) -> bool:
    """By what is kept, since looking for it takes longer."""
    return worded.texts.is_liquid if worded is not None else needs_liquid(subject or "") or needs_liquid(body or "")


def _variables(texts: Texts, recipient: Recipient, *, essential: bool) -> dict[str, Any]:
    variables = variables_of(texts.names, attributes_of(recipient), as_text=not texts.is_liquid)
    if not essential:
        variables |= {name: "" for name in (OPT_OUT_VARIABLE, PREFERENCES_VARIABLE) if name in texts.names}
    return variables


def _stored_form(workspace_id: UUID, content: Content, worded: Worded) -> tuple[bytes, UUID]:
    if not (content.headers or content.attachments or content.options):
        return worded.source, worded.content_id
    source = contents.encode(content)
    return source, contents.content_id(workspace_id, source)


def _with_defaults(recipient: Recipient, settings: WorkspaceSettings) -> Recipient:
    """The recipient, with the workspace's locale and time zone where it has none of its own."""
    locale = recipient.locale or settings.default_locale
    timezone = recipient.timezone or settings.default_timezone
    if locale == recipient.locale and timezone == recipient.timezone:
        return recipient
    return msgspec.structs.replace(recipient, locale=locale, timezone=timezone)


def _tracked(draft: Draft, asked: bool | None, usual: bool) -> bool:
    """Whether to follow opens or clicks: as the message says, else as the workspace does; essential ones never."""
    return not draft.essential and (usual if asked is None else asked)
