"""Templates: parts, versions, preview, and the same text at intake, preview and in the mail."""

from typing import Any

import pytest

from tests.support.api import Api, Tenant

TEMPLATE: dict[str, Any] = {
    "name": "Order",
    "subject": "Order for {{ firstName }}",
    "body": "<p>{{ firstName }}: {% for item in attributes.items %}{{ item.n | upcase }} {% endfor %}{{ plan }}</p>",
    "parts": {
        "EMAIL": {"de": {"subject": "Bestellung", "body": "Für {{firstName}}", "format": "text"}},
        "*": {"de_at": {"subject": None, "body": "Servus {{firstName}}"}},
        "TELEGRAM": {"*": {"body": "*{{firstName}}*", "format": "markdownv2"}},
    },
}


async def test_a_template_is_kept_changed_and_removed(tenant: Tenant) -> None:
    made = await tenant.post("/templates", TEMPLATE)
    path = f"/templates/{made['id']}"
    parts = {
        "EMAIL": {"de": {"subject": "Bestellung", "body": "Für {{firstName}}", "format": "text"}},
        "*": {"de-AT": {"subject": None, "body": "Servus {{firstName}}", "format": None}},
        "TELEGRAM": {"*": {"subject": None, "body": "*{{firstName}}*", "format": "markdownv2"}},
    }
    assert (made["version"], made["body"], made["parts"]) == (1, TEMPLATE["body"], parts)
    assert await tenant.get(path) == made

    changed = (await tenant.call("PATCH", path, json={"subject": "New"})).json()
    assert (changed["version"], changed["subject"], changed["parts"]) == (2, "New", parts)
    changed = (await tenant.call("PATCH", path, json={"parts": {}})).json()
    assert (changed["version"], changed["subject"], changed["parts"]) == (3, "New", {})
    assert (await tenant.call("PATCH", path, json={"name": "Other"})).json()["version"] == 3

    message = await tenant.send(await tenant.contact(), templateId=made["id"], subject="x")
    assert (await tenant.call("DELETE", path)).status_code == 204
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
        assert (await tenant.call(method, path, json=body)).status_code == 404
    await tenant.post(f"{path}/preview", {}, 404)
    assert (await tenant.get("/templates"))["pagination"]["total"] == 0
    refused = await tenant.post(
        "/messages", {"contactId": message["contactId"], "channel": "EMAIL", "templateId": made["id"]}, 422
    )
    assert refused["failureReason"] == "unknown_template"
    assert (await tenant.get(f"/messages/{message['id']}"))["template"]["id"] == made["id"]


async def test_a_preview_is_what_the_reader_gets(tenant: Tenant) -> None:
    path = f"/templates/{(await tenant.post('/templates', TEMPLATE))['id']}/preview"
    contact = await tenant.contact(
        firstName="A&B", locale="fr", attributes={"items": [{"n": "tea"}, {"n": "<milk>"}], "plan": "pro"}
    )
    shown = await tenant.post(path, {"contactId": contact}, 200)
    assert shown == {
        "version": 1,
        "subject": "Order for A&B",
        "body": "<p>A&amp;B: TEA &lt;MILK&gt; pro</p>",
        "format": "html",
        "warnings": [],
    }
    shown = await tenant.post(path, {"contactId": contact, "channel": "EMAIL", "locale": "de-CH"}, 200)
    assert (shown["subject"], shown["body"], shown["format"]) == ("Bestellung", "Für A&B", "text")
    shown = await tenant.post(path, {"contactId": contact, "channel": "WEBHOOK", "locale": "de-AT"}, 200)
    assert (shown["subject"], shown["body"]) == (None, "Servus A&B")
    shown = await tenant.post(path, {"channel": "TELEGRAM", "attributes": {"firstName": "1.5"}}, 200)
    assert (shown["body"], shown["format"]) == (r"*1\.5*", "markdownv2")
    shown = await tenant.post(path, {"contactId": contact, "attributes": {"plan": "free", "items": []}}, 200)
    assert shown["body"] == "<p>A&amp;B: free</p>"
    shown = await tenant.post(path, {}, 200)
    assert shown["warnings"] == [
        f"{name} has no value; it is sent empty" for name in ("attributes.items", "firstName", "plan")
    ]


async def test_a_preview_of_what_is_not_there(tenant: Tenant, api: Api) -> None:
    template = await tenant.post("/templates", TEMPLATE)
    stranger = await api.tenant()
    foreign = await stranger.contact()
    path = f"/templates/{template['id']}/preview"
    for contact in (foreign, "ct_00000000000000000000000000", "nobody"):
        assert (await tenant.post(path, {"contactId": contact}, 404))["detail"] == "There is no such contact."
    await stranger.post(path, {}, 404)
    refused = await tenant.post(path, {"attributes": {"firstName": "a\r\nBcc: b"}}, 422)
    assert refused["failureReason"] == "header_injection"
    refused = await tenant.post(path, {"attributes": {"firstName": "a" * 1000}}, 422)
    assert refused["errors"][0]["pointer"] == "#/subject"


@pytest.mark.parametrize(
    ("fields", "status", "pointer"),
    [
        ({"subject": "{{ a"}, 422, "#/subject"),
        ({"body": "{% if a %}"}, 422, "#/body"),
        ({"parts": {"EMAIL": {"de": {"body": "{{ a | nope }}"}}}}, 422, "#/parts/EMAIL/de/body"),
        ({"parts": {"*": {"*": {"body": "x"}}}}, 400, "#/parts/*/*"),
        ({"parts": {"*": {"de-AT": {"body": "x"}, "de_at": {"body": "x"}}}}, 400, "#/parts/*/de_at"),
        ({"parts": {"FAX": {"*": {"body": "x"}}}}, 400, None),
        ({"parts": {"EMAIL": {"not a locale": {"body": "x"}}}}, 400, None),
        ({"parts": {"EMAIL": {"de": {"subject": "x"}}}}, 400, None),
        (
            {"parts": {"PUSH": {f"a{chr(97 + n // 26)}-{chr(97 + n % 26)}{n}": {"body": "x"} for n in range(101)}}},
            400,
            "#/parts",
        ),
    ],
)
async def test_what_is_wrong_with_a_template_is_pointed_at(
    tenant: Tenant, fields: dict[str, Any], status: int, pointer: str | None
) -> None:
    refused = await tenant.post("/templates", {"name": "T", "body": "x"} | fields, status)
    if pointer is not None:
        assert refused["errors"][0]["pointer"] == pointer
    assert (await tenant.get("/templates"))["data"] == []
    template = (await tenant.post("/templates", {"name": "T", "body": "x"}))["id"]
    assert (await tenant.call("PATCH", f"/templates/{template}", json=fields)).status_code == status
    assert (await tenant.get(f"/templates/{template}"))["version"] == 1


async def test_liquid_in_a_message_is_checked_for_its_reader(tenant: Tenant) -> None:
    contact = await tenant.contact(attributes={"n": 3, "text": "many"})
    sent = await tenant.send(
        contact, subject="{% if n > 2 %}{{ text }}{% endif %} {{ gone.away }}", body="{{ n | plus: 1 }}"
    )
    assert (sent["subject"], sent["warnings"]) == ("many ", ["gone.away has no value; it is sent empty"])
    for field, text in (
        ("body", "{% for i in (1..9999) %}{{ text | upcase }}{% endfor %}"),
        ("body", "{% if text > 2 %}{% endif %}"),
        ("subject", "{% for i in (1..300) %}{{ text }}{% endfor %}"),
    ):
        send = {"contactId": contact, "channel": "EMAIL", "subject": "s", "body": "b"} | {field: text}
        refused = await tenant.post("/messages", send, 422)
        assert (refused["failureReason"], refused["errors"][0]["pointer"]) == ("render_error", f"#/{field}")
        assert "many" not in str(refused)
    assert (await tenant.get("/messages"))["pagination"]["total"] == 1
