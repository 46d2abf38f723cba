"""Every operation of the "workspace" dialect."""

from typing import Final

from api_shim import bounce_mail, problems, traces, waiting
from api_shim.operations import Operation, taking
from api_shim.workspaces import (
    audit_log,
    commands,
    hook_types,
    hooks,
    lanes,
    messages,
    people_table,
    replays,
    setup_table,
    template_types,
    templates,
)
from api_shim.workspaces import types as shapes
from api_shim.workspaces.command_types import MessageProblemBody
from api_shim.workspaces.nouns import BAD_BODY, BASE, Noun
from api_shim.workspaces.paging import PageQuery
from models.vocabulary import FailureReason, Scope

_NOT_RENDERED: Final = problems.REFUSALS[FailureReason.RENDER_ERROR]
_IDEMPOTENT: Final = {
    "Idempotency-Key": "1 to 255 visible ASCII characters, quoted or bare. The same key and body answer the same "
    "message, with `Idempotent-Replayed: true`, for 72 hours; 409 while the first request has not ended."
}

_MESSAGES: Final = Noun("messages", "Messages", Scope.MESSAGES_READ)
_EVENTS: Final = Noun("events", "Messages", Scope.MESSAGES_READ)
_TEMPLATES: Final = Noun("templates", "Templates", Scope.ADMIN)

OPERATIONS: Final = (
    Operation(
        "POST",
        f"{BASE}/messages",
        summary="Send a message to a contact",
        tag="Messages",
        scope=Scope.MESSAGES_WRITE,
        responses={200: shapes.MessageView},
        errors=(
            *BAD_BODY,
            *problems.REFUSALS.values(),
            problems.NOT_FOUND,
            problems.INVALID_HEADER,
            problems.IDEMPOTENCY_MISMATCH,
            problems.IDEMPOTENCY_IN_FLIGHT,
        ),
        error_bodies={422: MessageProblemBody},
        headers=_IDEMPOTENT | waiting.HEADER | traces.HEADER,
        traced=True,
        **taking(shapes.MessageRequest, messages.send),
    ),
    Operation(
        "POST",
        f"{BASE}/messages/batch",
        messages.send_batch,
        summary="Send up to 10,000 messages (16 MiB), each accepted or refused for itself, answered in order",
        tag="Messages",
        scope=Scope.MESSAGES_WRITE,
        request=list[shapes.BatchMessageRequest],
        request_media=("application/json", "application/x-ndjson"),
        responses={200: shapes.BatchReply},
        errors=(*BAD_BODY, problems.INVALID_HEADER, problems.IDEMPOTENCY_IN_FLIGHT),
        headers=_IDEMPOTENT | traces.HEADER,
        traced=True,
    ),
    *audit_log.OPERATIONS,
    *replays.OPERATIONS,
    *lanes.OPERATIONS,
    _MESSAGES.page(shapes.MessageQuery, shapes.MessageList, messages.list_all, "List messages, the newest first"),
    _MESSAGES.get(
        "messageId",
        shapes.MessageDetailView,
        messages.get,
        "Get a message with its contact, template, campaign, events and attempts",
    ),
    *commands.OPERATIONS,
    _EVENTS.page(
        hook_types.EventQuery,
        hook_types.EventList,
        hooks.list_events,
        "List what providers and readers reported, newest first",
    ),
    Operation(
        "POST",
        f"{BASE}/bounces/parse",
        bounce_mail.read,
        summary="Say what a raw mail (RFC 5322) that came back says; nothing is changed",
        tag="Messages",
        scope=Scope.MESSAGES_READ,
        request=str,
        request_media=bounce_mail.MEDIA,
        responses={200: bounce_mail.BounceReading},
        errors=(problems.TIMED_OUT, problems.TOO_LARGE, problems.UNSUPPORTED_ENCODING),
    ),
    *people_table.OPERATIONS,
    *setup_table.OPERATIONS,
    _TEMPLATES.make(
        template_types.TemplateRequest,
        template_types.TemplateView,
        templates.create,
        "Make a template, in Liquid",
        errors=(_NOT_RENDERED,),
    ),
    _TEMPLATES.page(PageQuery, template_types.TemplateList, templates.list_all, "List templates, the newest first"),
    _TEMPLATES.get("templateId", template_types.TemplateView, templates.get, "Get a template"),
    _TEMPLATES.change(
        "PATCH",
        "{templateId}",
        template_types.TemplatePatch,
        template_types.TemplateView,
        templates.patch,
        "Change a template: a changed text is a new version",
        errors=(_NOT_RENDERED,),
    ),
    _TEMPLATES.remove("templateId", templates.remove, "Remove a template; messages accepted with it keep their text"),
    _TEMPLATES.change(
        "POST",
        "{templateId}/preview",
        template_types.PreviewRequest,
        template_types.PreviewView,
        templates.preview,
        "Show a template as a reader would get it",
        errors=(_NOT_RENDERED, problems.REFUSALS[FailureReason.HEADER_INJECTION]),
    ),
)
