"""The operations on people: contacts, their browsers, what stands against their addresses, and their journeys."""

from typing import Final

from api_shim import problems
from api_shim.inbox_types import InboxTokenRequest, InboxTokenView
from api_shim.operations import Operation
from api_shim.workspaces import (
    browsers,
    contacts,
    exports,
    inbox_tokens,
    journeys,
    releases,
    suppression_lists,
    suppressions,
)
from api_shim.workspaces import contact_types as people
from api_shim.workspaces import setup_types as things
from api_shim.workspaces import suppression_types as stops
from api_shim.workspaces.export_types import ContactExport
from api_shim.workspaces.nouns import BASE, Noun
from api_shim.workspaces.paging import PageQuery
from models.vocabulary import Scope

_CONTACTS: Final = Noun("contacts", "Contacts", Scope.CONTACTS)
_BROWSERS: Final = Noun("push", "Contacts", Scope.CONTACTS)
_SUPPRESSIONS: Final = Noun("suppressions", "Suppressions", Scope.CONTACTS)
_RELEASES: Final = Noun("suppressions/releases", "Suppressions", Scope.CONTACTS)
_JOURNEYS: Final = Noun("journeys", "Campaigns", Scope.ADMIN)

_CONTACT: Final = people.ContactView
_TAKEN: Final = (problems.CONFLICT,)

OPERATIONS: Final = (
    _CONTACTS.make(
        people.ContactRequest,
        _CONTACT,
        contacts.create,
        "Make a contact",
        errors=_TAKEN,
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
        "contactId",
        contacts.erase,
        "Erase a person: what waits for them is not sent; bare message rows and keyed digests of suppressions stay",
    ),
    _CONTACTS.change(
        "POST",
        "{contactId}/tags",
        people.TagsRequest,
        _CONTACT,
        contacts.change_tags,
        "Put tags on a contact and take others off",
    ),
    Operation(
        "GET",
        f"{BASE}/contacts/{{contactId}}/export",
        exports.export,
        summary="Export everything that is held of a person, as one JSON document",
        tag="Contacts",
        scope=Scope.CONTACTS,
        responses={200: ContactExport},
        errors=(problems.NOT_FOUND,),
    ),
    _CONTACTS.change(
        "POST",
        "{contactId}/inbox-token",
        InboxTokenRequest,
        InboxTokenView,
        inbox_tokens.create,
        "Make a token that a contact's page reads its in-app inbox with",
        statuses=(201,),
    ),
    _BROWSERS.make(
        people.BrowserRequest,
        people.BrowserView,
        browsers.put,
        "Store a browser of a contact, by its endpoint",
        statuses=(201, 200),
        errors=(problems.NOT_FOUND,),
    ),
    _BROWSERS.page(people.BrowserQuery, people.BrowserList, browsers.list_all, "List browsers, the newest first"),
    _BROWSERS.get("browserId", people.BrowserView, browsers.get, "Get a browser"),
    _BROWSERS.change(
        "PATCH", "{browserId}", people.BrowserPatch, people.BrowserView, browsers.patch, "Change what a browser is for"
    ),
    _BROWSERS.remove("browserId", browsers.remove, "Forget a browser"),
    _SUPPRESSIONS.make(
        stops.SuppressionRequest,
        stops.SuppressionView,
        suppressions.create,
        "Suppress an address",
        statuses=(201, 200),
        errors=(problems.NOT_FOUND,),
    ),
    _SUPPRESSIONS.page(
        stops.SuppressionQuery, stops.SuppressionList, suppressions.list_all, "List suppressions, the newest first"
    ),
    # Before the ones that take any suppression id.
    *suppression_lists.OPERATIONS,
    _RELEASES.page(
        stops.ReleaseQuery, stops.ReleaseList, releases.list_all, "List released suppressions, the latest first"
    ),
    _SUPPRESSIONS.change(
        "POST",
        "{suppressionId}/release",
        stops.ReleaseRequest,
        stops.ReleaseReply,
        releases.release,
        "Let an address be written to again; what FAILED because of its suppression is sent again if asked",
    ),
    _SUPPRESSIONS.get("suppressionId", stops.SuppressionView, suppressions.get, "Get a suppression"),
    _SUPPRESSIONS.change(
        "PATCH",
        "{suppressionId}",
        stops.SuppressionPatch,
        stops.SuppressionView,
        suppressions.patch,
        "Change why, or until when, an address is suppressed",
    ),
    _SUPPRESSIONS.remove("suppressionId", releases.remove, "Let an address be written to again"),
    _JOURNEYS.make(things.NameRequest, things.JourneyView, journeys.create, "Make a journey"),
    _JOURNEYS.page(PageQuery, things.JourneyList, journeys.list_all, "List journeys, the newest first"),
    _JOURNEYS.get("journeyId", things.JourneyView, journeys.get, "Get a journey"),
    _JOURNEYS.change(
        "PATCH", "{journeyId}", things.NameRequest, things.JourneyView, journeys.patch, "Rename a journey"
    ),
    _JOURNEYS.remove(
        "journeyId", journeys.remove, "Remove a journey; messages that were accepted for it go out and still name it"
    ),
)
