"""May a message be accepted, and may it still be sent: the rules that whoever reads the rows asks."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.admission import (
    Consent,
    Draft,
    Parked,
    Recipient,
    Standing,
    address_of,
    attributes_of,
    check_consent,
    check_header,
    check_standing,
    content_of,
    lane_of,
    variables_of,
)
from models.content import Attachment
from models.errors import Refused
from models.ids import new_id
from models.vocabulary import CampaignState, Channel, FailureReason, Lane

NOBODY = Recipient(
    id=UUID(int=1),  # it becomes part of test names
    email=None,
    telegram_chat_id=None,
    webhook_url=None,
    browsers=0,
    first_name=None,
    last_name=None,
    phone=None,
    external_id=None,
    locale=None,
    timezone=None,
    attributes={},
)
ANN = msgspec.structs.replace(
    NOBODY,
    email="ann@example.org",
    telegram_chat_id="17",
    webhook_url="https://example.org/hook",
    browsers=2,
    first_name="Ann",
)
WELL = Standing(expired=False, erased=False, dead=False, opted_out=False, essential=False, campaign=None)


def draft(channel: Channel = Channel.EMAIL, **fields: Any) -> Draft:
    return Draft(id=new_id(), workspace_id=new_id(), contact_id=new_id(), channel=channel, **fields)


def as_it_is(address: str) -> str:
    return address


def no_good(address: str) -> str:
    raise ValueError("the address is malformed")


@pytest.mark.parametrize(
    ("fields", "lane"),
    [
        ({}, Lane.TRANSACTIONAL),
        ({"campaign_id": new_id()}, Lane.BULK),
        ({"journey_id": new_id()}, Lane.BULK),
        ({"campaign_id": new_id(), "lane": Lane.TRANSACTIONAL}, Lane.TRANSACTIONAL),
        ({"lane": Lane.BULK}, Lane.BULK),
    ],
)
def test_what_belongs_to_a_campaign_or_a_journey_is_bulk_unless_asked_otherwise(
    fields: dict[str, Any], lane: Lane
) -> None:
    assert lane_of(draft(**fields)) is lane


@pytest.mark.parametrize(
    ("channel", "address"),
    [
        (Channel.EMAIL, "ann@example.org"),
        (Channel.TELEGRAM, "17"),
        (Channel.WEBHOOK, "https://example.org/hook"),
        (Channel.PUSH, str(ANN.id)),
        (Channel.ONSITE, str(ANN.id)),
    ],
)
def test_the_address_on_each_channel(channel: Channel, address: str) -> None:
    assert address_of(draft(channel), ANN, as_it_is) == address
    assert address_of(draft(channel), ANN, str.upper) == address.upper()


@pytest.mark.parametrize("channel", [Channel.EMAIL, Channel.TELEGRAM])
def test_another_address_may_be_named(channel: Channel) -> None:
    assert address_of(draft(channel, to="bob@example.org"), ANN, as_it_is) == "bob@example.org"
    assert address_of(draft(channel, to="bob@example.org"), NOBODY, as_it_is) == "bob@example.org"


@pytest.mark.parametrize("channel", [Channel.EMAIL, Channel.TELEGRAM, Channel.WEBHOOK, Channel.PUSH])
def test_a_contact_without_an_address_is_refused(channel: Channel) -> None:
    with pytest.raises(Refused) as refused:
        address_of(draft(channel), NOBODY, as_it_is)
    assert (refused.value.reason, refused.value.pointer) == (FailureReason.NO_ADDRESS, "/contactId")


def test_everybody_has_an_inbox() -> None:
    assert address_of(draft(Channel.ONSITE), NOBODY, as_it_is) == str(NOBODY.id)


@pytest.mark.parametrize(("fields", "pointer"), [({}, "/contactId"), ({"to": "x"}, "/to")])
def test_a_malformed_address_is_refused_where_it_was_given(fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Refused) as refused:
        address_of(draft(**fields), ANN, no_good)
    assert (refused.value.reason, refused.value.pointer) == (FailureReason.INVALID_ADDRESS, pointer)
    assert refused.value.detail == "the address is malformed"


@pytest.mark.parametrize(
    ("consent", "essential", "reason"),
    [
        (Consent(), False, None),
        (Consent(), True, None),
        (Consent(opted_out=True), False, FailureReason.OPTED_OUT),
        (Consent(opted_out=True), True, None),
        (Consent(dead=True), False, FailureReason.SUPPRESSED),
        (Consent(dead=True), True, FailureReason.SUPPRESSED),
        (Consent(dead=True, opted_out=True), True, FailureReason.SUPPRESSED),
    ],
)
def test_essential_messages_ignore_opt_outs_alone(
    consent: Consent, essential: bool, reason: FailureReason | None
) -> None:
    if reason is None:
        check_consent(consent, essential=essential)
        return
    with pytest.raises(Refused) as refused:
        check_consent(consent, essential=essential)
    assert refused.value.reason is reason


@pytest.mark.parametrize("control", [*map(chr, range(32)), *map(chr, range(127, 160)), "\u2028", "\u2029"])
def test_a_header_holds_no_control_character(control: str) -> None:
    for value in (control, f"a{control}", f"{control}b", f"a{control}Bcc: eve@example.org"):
        with pytest.raises(Refused) as refused:
            check_header(value, "/subject")
        assert (refused.value.reason, refused.value.pointer) == (FailureReason.HEADER_INJECTION, "/subject")
        assert "eve" not in refused.value.detail


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])))
def test_every_other_text_may_be_a_header(value: str) -> None:
    check_header(value, "/subject")


PART = {"subject": "Template {{x}}", "body": "<p>Template</p>", "format": "html"}


@pytest.mark.parametrize(
    ("fields", "part", "expected"),
    [
        ({"subject": "S", "body": "B"}, {}, ("S", "B", "text")),
        ({"body": "  <p>B</p>"}, {}, (None, "  <p>B</p>", "html")),
        ({"body": "<p>B</p>", "format": "text"}, {}, (None, "<p>B</p>", "text")),
        ({"body": ""}, {}, (None, "", "text")),
        ({}, PART, ("Template {{x}}", "<p>Template</p>", "html")),
        ({"subject": "S"}, PART, ("S", "<p>Template</p>", "html")),
        ({"body": "B"}, PART, ("Template {{x}}", "B", "text")),
        ({"body": "<b>"}, PART | {"format": "text"}, ("Template {{x}}", "<b>", "html")),
        ({"format": "markdownv2"}, PART, ("Template {{x}}", "<p>Template</p>", "markdownv2")),
        ({}, {"subject": "S", "body": "<p>"}, ("S", "<p>", "html")),
        ({}, {"body": "Hi"}, (None, "Hi", "text")),
        ({}, {}, (None, None, "text")),
    ],
)
def test_what_is_said_is_the_templates_overridden_by_the_drafts(
    fields: dict[str, Any], part: dict[str, Any], expected: tuple[str | None, str | None, str]
) -> None:
    content = content_of(draft(**fields), part)
    assert (content.subject, content.body, content.format) == expected


def test_headers_files_and_options_go_along() -> None:
    logo = Attachment("logo.png", "image/png", b"\x89PNG")
    content = content_of(draft(body="B", headers={"X-A": "1"}, attachments=(logo,), options={"ttl": 5}), {})
    assert (content.headers, content.attachments, content.options) == ({"X-A": "1"}, (logo,), {"ttl": 5})


def test_a_contacts_own_properties_come_before_its_free_attributes() -> None:
    contact = msgspec.structs.replace(
        ANN,
        last_name="Lee",
        phone="+1",
        external_id="c-1",
        locale="de",
        timezone="UTC",
        attributes={"firstName": "Mallory", "city": "Ulm", "age": 7, "vip": True, "tags": ["a"], "none": None},
    )
    assert attributes_of(contact) == {
        "firstName": "Ann",
        "lastName": "Lee",
        "email": "ann@example.org",
        "phone": "+1",
        "externalId": "c-1",
        "locale": "de",
        "timezone": "UTC",
        "city": "Ulm",
        "age": 7,
        "vip": True,
        "tags": ["a"],
        "attributes": {"firstName": "Mallory", "city": "Ulm", "age": 7, "vip": True, "tags": ["a"]},
    }
    assert attributes_of(NOBODY) == {}


def test_a_text_gets_what_it_asks_for_alone() -> None:
    attributes = {"a": "x", "n": 7, "tags": ["a"], "map": {"in": {"deep": True}, "nil": None}, "q.r": "dotted"}
    asked = ["a", "n", "map.in.deep", "map.in", "map.nil", "map.none.deep", "a.b", "none", "q.r"]
    assert variables_of(asked, attributes, as_text=False) == {
        "a": "x",
        "n": 7,
        "map.in.deep": True,
        "map.in": {"deep": True},
        "q.r": "dotted",
    }
    assert variables_of(["n", "tags", "map.in.deep", "a"], attributes, as_text=True) == {
        "n": "7",
        "tags": '["a"]',
        "map.in.deep": "true",
        "a": "x",
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expired": True}, FailureReason.EXPIRED),
        ({"erased": True}, FailureReason.ERASED),
        ({"dead": True}, FailureReason.SUPPRESSED),
        ({"dead": True, "essential": True}, FailureReason.SUPPRESSED),
        ({"opted_out": True}, FailureReason.OPTED_OUT),
        ({"campaign": CampaignState.CANCELLED}, FailureReason.CANCELLED),
        ({"campaign": CampaignState.CANCELLED, "expired": True, "erased": True}, FailureReason.CANCELLED),
        # Paused or not: what may not go out any more ends now.
        ({"campaign": CampaignState.PAUSED, "expired": True}, FailureReason.EXPIRED),
        ({"campaign": CampaignState.PAUSED, "opted_out": True}, FailureReason.OPTED_OUT),
    ],
)
def test_what_must_not_go_out_any_more(changes: dict[str, Any], reason: FailureReason) -> None:
    with pytest.raises(Refused) as refused:
        check_standing(msgspec.structs.replace(WELL, **changes))
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    "changes", [{}, {"campaign": CampaignState.RUNNING}, {"opted_out": True, "essential": True}, {"essential": True}]
)
def test_what_may_still_go_out(changes: dict[str, Any]) -> None:
    check_standing(msgspec.structs.replace(WELL, **changes))


def test_a_paused_campaign_waits() -> None:
    with pytest.raises(Parked):
        check_standing(msgspec.structs.replace(WELL, campaign=CampaignState.PAUSED))
