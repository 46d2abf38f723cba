"""Every operation of the "workspace" dialect."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from api_shim import problems
from api_shim.operations import Call, Handler, Operation, Reply, asking, taking
from api_shim.problems import ProblemType
from api_shim.workspaces import contact_types as people
from api_shim.workspaces import contacts, hooks, keys, messages, setup, suppressions
from api_shim.workspaces import setup_types as things
from api_shim.workspaces import types as shapes
from api_shim.workspaces.paging import PageQuery
from models.vocabulary import FailureReason, Scope

T = TypeVar("T")

_BASE: Final = "/api/workspaces/{workspaceId}"
_BAD_BODY: Final = (
    problems.MALFORMED_JSON,
    problems.INVALID_BODY,
    problems.MISSING_FIELD,
    problems.UNKNOWN_FIELD,
    problems.TIMED_OUT,
    problems.TOO_LARGE,
    problems.UNSUPPORTED_ENCODING,
)
_NOT_RENDERED: Final = problems.REFUSALS[FailureReason.RENDER_ERROR]
_REFUSED_AT_INTAKE: Final = tuple(
    problems.REFUSALS[reason]
    for reason in (
        FailureReason.NO_ADDRESS,
        FailureReason.INVALID_ADDRESS,
        FailureReason.OPTED_OUT,
        FailureReason.SUPPRESSED,
        FailureReason.CHANNEL_NOT_CONFIGURED,
        FailureReason.UNKNOWN_TEMPLATE,
        FailureReason.UNKNOWN_CAMPAIGN,
        FailureReason.UNKNOWN_JOURNEY,
        FailureReason.RENDER_ERROR,
        FailureReason.HEADER_INJECTION,
    )
)
_IDEMPOTENT: Final = {
    "Idempotency-Key": "1 to 255 visible ASCII characters, quoted or bare. The same key and body answer the same "
    "message, with `Idempotent-Replayed: true`, for 72 hours."
}


class _Noun:
    """A kind of thing under a workspace: its path, its tag, its scope, and the operations that all kinds have alike."""

    def __init__(self, path: str, tag: str, scope: Scope) -> None:
        self.path = f"{_BASE}/{path}"
        self._common: dict[str, Any] = {"tag": tag, "scope": scope}

    def make(
        self,
        request: type[T],
        view: type,
        handler: Callable[[Call, T], Awaitable[Reply]],
        summary: str,
        *,
        statuses: Sequence[int] = (201,),
        errors: Sequence[ProblemType] = (),
        example: object = None,
    ) -> Operation:
        """POST of the collection."""
        return Operation(
            "POST",
            self.path,
            summary=summary,
            responses=dict.fromkeys(statuses, view),
            errors=(*_BAD_BODY, *errors),
            example=example,
            **taking(request, handler),
            **self._common,
        )

    def page(
        self, query: type[T], view: type, handler: Callable[[Call, T], Awaitable[Reply]], summary: str
    ) -> Operation:
        """GET of the collection."""
        return Operation(
            "GET", self.path, summary=summary, responses={200: view}, **asking(query, handler), **self._common
        )

    def get(self, name: str, view: type, handler: Handler, summary: str) -> Operation:
        """GET of one."""
        path = f"{self.path}/{{{name}}}"
        responses = {200: view}
        errors = (problems.NOT_FOUND,)
        return Operation("GET", path, handler, summary=summary, responses=responses, errors=errors, **self._common)

    def change(
        self,
        method: str,
        below: str,
        request: type[T],
        view: type,
        handler: Callable[[Call, T], Awaitable[Reply]],
        summary: str,
        *,
        statuses: Sequence[int] = (200,),
        errors: Sequence[ProblemType] = (),
    ) -> Operation:
        """PATCH or PUT of one."""
        return Operation(
            method,
            f"{self.path}/{below}",
            summary=summary,
            responses=dict.fromkeys(statuses, view),
            errors=(*_BAD_BODY, problems.NOT_FOUND, *errors),
            **taking(request, handler),
            **self._common,
        )

    def remove(self, name: str, handler: Handler, summary: str) -> Operation:
        """DELETE of one."""
        path = f"{self.path}/{{{name}}}"
        responses = {204: None}
        errors = (problems.NOT_FOUND,)
        return Operation("DELETE", path, handler, summary=summary, responses=responses, errors=errors, **self._common)


_MESSAGES: Final = _Noun("messages", "Messages", Scope.MESSAGES_READ)
_EVENTS: Final = _Noun("events", "Messages", Scope.MESSAGES_READ)
_CONTACTS: Final = _Noun("contacts", "Contacts", Scope.CONTACTS)
_BROWSERS: Final = _Noun("push", "Contacts", Scope.CONTACTS)
_SUPPRESSIONS: Final = _Noun("suppressions", "Suppressions", Scope.CONTACTS)
_HOOKS: Final = _Noun("hooks", "Hooks", Scope.HOOKS)
_TEMPLATES: Final = _Noun("templates", "Templates", Scope.ADMIN)
_CAMPAIGNS: Final = _Noun("campaigns", "Campaigns", Scope.ADMIN)
_JOURNEYS: Final = _Noun("journeys", "Campaigns", Scope.ADMIN)
_KEYS: Final = _Noun("keys", "Keys", Scope.ADMIN)

_CONTACT: Final = people.ContactView
_TAKEN: Final = (problems.CONFLICT,)

OPERATIONS: Final = (
    Operation(
        "POST",
        f"{_BASE}/messages",
        summary="Send a message to a contact",
        tag="Messages",
        scope=Scope.MESSAGES_WRITE,
        responses={200: shapes.MessageView},
        errors=(
            *_BAD_BODY,
            *_REFUSED_AT_INTAKE,
            problems.NOT_FOUND,
            problems.INVALID_HEADER,
            problems.IDEMPOTENCY_MISMATCH,
        ),
        headers=_IDEMPOTENT,
        example={
            "contactId": "ct_01jz6m4x8e7s3v9k2q5n0w1r4t",
            "channel": "EMAIL",
            "subject": "Your weekly digest",
            "body": "<h1>Hello {{firstName}}</h1><p>Here is your update.</p>",
            "metadata": {"category": "digest"},
        },
        **taking(shapes.MessageRequest, messages.send),
    ),
    Operation(
        "POST",
        f"{_BASE}/messages/batch",
        messages.send_batch,
        summary="Send up to 10,000 messages (16 MiB), each accepted or refused for itself, answered in order",
        tag="Messages",
        scope=Scope.MESSAGES_WRITE,
        request=list[shapes.MessageRequest],
        request_media=("application/json", "application/x-ndjson"),
        responses={200: shapes.BatchReply},
        errors=(*_BAD_BODY, problems.INVALID_HEADER),
        headers=_IDEMPOTENT,
    ),
    _MESSAGES.page(shapes.MessageQuery, shapes.MessageList, messages.list_all, "List messages, the newest first"),
    _MESSAGES.get(
        "messageId",
        shapes.MessageDetailView,
        messages.get,
        "Get a message with its contact, template, campaign, events and attempts",
    ),
    _EVENTS.page(
        things.EventQuery, things.EventList, hooks.list_events, "List what providers and readers reported, newest first"
    ),
    _CONTACTS.make(
        people.ContactRequest,
        _CONTACT,
        contacts.create,
        "Make a contact",
        errors=_TAKEN,
        example={"externalId": "reader-7", "email": "reader@example.org", "firstName": "Ada"},
    ),
    _CONTACTS.page(people.ContactQuery, people.ContactList, contacts.list_all, "List contacts, the newest first"),
    # Before the one that takes any contact id.
    _CONTACTS.change(
        "PUT",
        "by-external-id/{externalId:path}",
        people.ContactRequest,
        _CONTACT,
        contacts.upsert,
        "Make the contact of an external id, or change it",
        statuses=(200, 201),
        errors=_TAKEN,
    ),
    _CONTACTS.get("contactId", _CONTACT, contacts.get, "Get a contact"),
    _CONTACTS.change(
        "PATCH", "{contactId}", people.ContactRequest, _CONTACT, contacts.patch, "Change a contact", errors=_TAKEN
    ),
    _CONTACTS.remove(
        "contactId", contacts.erase, "Erase a person: bare message rows and keyed digests of suppressions stay"
    ),
    _BROWSERS.make(
        people.BrowserRequest,
        people.BrowserView,
        contacts.put_browser,
        "Store a browser of a contact, by its endpoint",
        statuses=(201, 200),
        errors=(problems.NOT_FOUND,),
    ),
    _SUPPRESSIONS.make(
        people.SuppressionRequest,
        people.SuppressionView,
        suppressions.create,
        "Suppress an address",
        statuses=(201, 200),
        example={"channel": "EMAIL", "address": "reader@example.org", "topic": "digest"},
    ),
    _SUPPRESSIONS.page(
        people.SuppressionQuery, people.SuppressionList, suppressions.list_all, "List suppressions, the newest first"
    ),
    _SUPPRESSIONS.get("suppressionId", people.SuppressionView, suppressions.get, "Get a suppression"),
    _SUPPRESSIONS.remove("suppressionId", suppressions.remove, "Let an address be written to again"),
    _HOOKS.make(
        things.HookRequest,
        things.HookView,
        hooks.create,
        "Make a hook under which a provider reports; its signing key is shown in this answer alone",
        example={"provider": "generic"},
    ),
    _HOOKS.page(PageQuery, things.HookList, hooks.list_all, "List hooks, the newest first"),
    _HOOKS.get("hookId", things.HookView, hooks.get, "Get a hook"),
    _HOOKS.remove("hookId", hooks.remove, "Remove a hook; its events stay"),
    _TEMPLATES.make(
        things.TemplateRequest,
        things.TemplateView,
        setup.create_template,
        "Make a template",
        errors=(_NOT_RENDERED,),
        example={"name": "Welcome", "subject": "Welcome, {{firstName}}", "body": "<p>Good to have you.</p>"},
    ),
    _TEMPLATES.page(PageQuery, things.TemplateList, setup.list_templates, "List templates, the newest first"),
    _TEMPLATES.get("templateId", things.TemplateView, setup.get_template, "Get a template"),
    _TEMPLATES.change(
        "PATCH",
        "{templateId}",
        things.TemplatePatch,
        things.TemplateView,
        setup.patch_template,
        "Change a template: a changed text is a new version",
        errors=(_NOT_RENDERED,),
    ),
    _CAMPAIGNS.make(
        things.NameRequest,
        things.CampaignView,
        setup.create_campaign,
        "Make a campaign",
        example={"name": "Spring sale"},
    ),
    _CAMPAIGNS.page(PageQuery, things.CampaignList, setup.list_campaigns, "List campaigns, the newest first"),
    _CAMPAIGNS.get("campaignId", things.CampaignView, setup.get_campaign, "Get a campaign"),
    _JOURNEYS.make(
        things.NameRequest, things.JourneyView, setup.create_journey, "Make a journey", example={"name": "Onboarding"}
    ),
    _JOURNEYS.page(PageQuery, things.JourneyList, setup.list_journeys, "List journeys, the newest first"),
    _JOURNEYS.get("journeyId", things.JourneyView, setup.get_journey, "Get a journey"),
    _KEYS.make(
        things.KeyRequest,
        things.KeyView,
        keys.create,
        "Make an API key; its token is shown in this answer alone",
        errors=(problems.MISSING_SCOPE,),
        example={"name": "Shop", "scopes": ["messages:read", "messages:write"]},
    ),
    _KEYS.page(PageQuery, things.KeyList, keys.list_all, "List API keys, the newest first"),
    _KEYS.get("keyId", things.KeyView, keys.get, "Get an API key"),
    _KEYS.remove("keyId", keys.revoke, "Revoke an API key"),
)
