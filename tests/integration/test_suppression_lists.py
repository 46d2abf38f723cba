"""Suppressions by the thousand: a list of another system taken in whole or not at all, and our own written out."""

import csv
import io
import json
from typing import Any

import httpx
import pytest

from tests.support.api import Api, Tenant
from tests.support.reader_links import refused

CSV = "text/csv; charset=utf-8"
NDJSON = "application/x-ndjson"


async def take(tenant: Tenant, content: str | bytes, media: str = CSV) -> httpx.Response:
    return await tenant.call("POST", "/suppressions/import", content=content, headers={"Content-Type": media})


async def taken(tenant: Tenant, content: str | bytes, media: str = CSV) -> Any:
    answer = await take(tenant, content, media)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def written(tenant: Tenant, **query: str) -> str:
    answer = await tenant.call("GET", "/suppressions/export.csv", params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (200, CSV)
    assert "attachment" in answer.headers["content-disposition"]
    return answer.text


async def facts(tenant: Tenant) -> list[tuple[Any, ...]]:
    whole = (await tenant.get("/suppressions/export.json"))["data"]
    names = ("channel", "address", "kind", "topic", "reason", "note", "expiresAt")
    return sorted(tuple(map(str, (each[name] for name in names))) for each in whole)


@pytest.mark.parametrize("media", [CSV, NDJSON, "application/json"])
async def test_a_list_is_taken_in_and_holds_at_once(tenant: Tenant, media: str) -> None:
    lines = [
        {"address": "Ann@EXAMPLE.org", "reason": "bounced"},
        {"channel": "TELEGRAM", "address": "123456789", "topic": "news", "note": 'said "no", twice'},
        {"address": "ann@example.org", "topic": "offers", "expiresAt": "2095-01-01T00:00:00.000Z"},
    ]
    if media == CSV:
        names = ["channel", "address", "topic", "reason", "note", "expiresAt"]
        table = io.StringIO()
        writer = csv.DictWriter(table, names, restval="")
        writer.writeheader()
        writer.writerows(lines)
        content = "\ufeff" + table.getvalue()
    else:
        content = json.dumps(lines) if media == "application/json" else "\n".join(map(json.dumps, lines))
    assert await taken(tenant, content, media) == {"read": 3, "created": 3, "erased": 0}
    assert await taken(tenant, content, media) == {"read": 3, "created": 0, "erased": 0}
    assert await facts(tenant) == [
        ("EMAIL", "Ann@example.org", "dead", "None", "bounced", "None", "None"),
        ("EMAIL", "ann@example.org", "opt_out", "offers", "manual", "None", "2095-01-01T00:00:00.000Z"),
        ("TELEGRAM", "123456789", "opt_out", "news", "manual", 'said "no", twice', "None"),
    ]
    contact = await tenant.contact(telegramChatId="123456789")
    assert await refused(tenant, contact) == "suppressed"


async def test_a_bad_line_is_named_and_nothing_is_stored(tenant: Tenant) -> None:
    good = "address,topic\ngood@example.org,\n"
    for bad, place, pointer in (
        ("nobody,\n", "line 3", "#/1/address"),
        (",news\n", "line 3", "#/1/address"),
        ('"two\nlines@example.org",\n', "line 4", "#/1/address"),
    ):
        answer = await take(tenant, good + bad)
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["pointer"]) == (400, pointer)
        assert error["detail"].startswith(f"{place}: ")
        assert "nobody" not in answer.text
    for content, media, pointer in (
        ("email\na@example.org\n", CSV, "#/0/email"),
        ("address,reason\na@example.org,asked by phone\n", CSV, "#/0/reason"),
        ("address,kind,topic\na@example.org,dead,news\n", CSV, "#/0/topic"),
        ("address,addressErased\na@example.org,perhaps\n", CSV, "#/0/addressErased"),
        ("address\na@example.org,b\n", CSV, "#"),
        (b"address\n\xff@example.org\n", CSV, "#"),
        ('{"address":"a@example.org"}\n{"address":"x"}', NDJSON, "#/1/address"),
        ('[{"address":"a@example.org"},{"address":1}]', "application/json", "#/1/address"),
        ('[{"address":"a@example.org"},{"address":"b@example.org","id":1}]', "application/json", "#/1/id"),
        ("{}", "application/json", "#"),
    ):
        answer = await take(tenant, content, media)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer), answer.text
    many = await take(tenant, "address\n" + "x\n" * 500)
    assert len(many.json()["errors"]) == 100
    assert await facts(tenant) == []


async def test_a_list_is_bounded(tenant: Tenant) -> None:
    numbered = [f"{number}@example.org" for number in range(10_001)]
    assert (await take(tenant, "\n".join(["address", *numbered]))).status_code == 413
    assert (
        await take(tenant, json.dumps([{"address": each} for each in numbered]), "application/json")
    ).status_code == 413
    assert (await take(tenant, b"address\n" + b" " * (4 << 20))).status_code == 413
    whole = "\n".join(["address", *numbered[:10_000]])
    assert await taken(tenant, whole) == {"read": 10_000, "created": 10_000, "erased": 0}
    shown = list(csv.DictReader(io.StringIO(await written(tenant), newline="")))
    assert sorted(each["address"] for each in shown) == sorted(numbered[:10_000])
    assert (await tenant.get("/suppressions"))["pagination"]["total"] == 10_000


async def test_what_is_written_out_is_taken_in_elsewhere_and_calculates_nothing(api: Api, tenant: Tenant) -> None:
    await taken(tenant, '[{"address":"=1+1@example.org","note":"@SUM(A1)"},{"address":"+tag@example.org"}]', "")
    await taken(tenant, '[{"address":"-a@example.org","topic":"=cmd","expiresAt":"2095-01-01T00:00:00Z"}]', "")
    contact = await tenant.contact(email="gone@example.org")
    await taken(tenant, '[{"address":"gone@example.org","note":"Gone Roe"}]', "")
    assert (await tenant.call("DELETE", f"/contacts/{contact}")).status_code == 204
    text = await written(tenant)
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert not any(cell[:1] in ("=", "+", "-", "@", "\t", "\r") for row in rows for cell in row)
    assert "Gone" not in text
    assert "gone@" not in text
    assert [row[rows[0].index("addressErased")] for row in rows[1:]] == ["false", "false", "false", "true"]

    other = await api.tenant()
    assert await taken(other, text) == {"read": 4, "created": 3, "erased": 1}
    assert [each for each in await facts(tenant) if each[1] != "None"] == await facts(other)
    whole = await tenant.get("/suppressions/export.json")
    again = await api.tenant()
    assert await taken(again, json.dumps(whole["data"]), "application/json") == {"read": 4, "created": 3, "erased": 1}
    assert await facts(again) == await facts(other)


async def test_filters_and_workspaces_divide_what_is_written_out(api: Api, tenant: Tenant) -> None:
    await taken(tenant, "address,topic,reason\na@example.org,,bounced\nb@example.org,news,unsubscribed\n")
    await taken(await api.tenant(), "address\ntheirs@example.org\n")
    for query, expected in (
        ({}, {"a@example.org", "b@example.org"}),
        ({"reason": "bounced"}, {"a@example.org"}),
        ({"topic": "news", "kind": "opt_out"}, {"b@example.org"}),
        ({"channel": "PUSH"}, set()),
    ):
        shown = csv.DictReader(io.StringIO(await written(tenant, **query), newline=""))
        assert {each["address"] for each in shown} == expected
        listed = (await tenant.get("/suppressions", **query))["data"]
        assert {each["address"] for each in listed} == expected
    assert (await tenant.call("GET", "/suppressions/export.csv", params={"reason": "no"})).status_code == 400


async def test_what_stands_lasts_as_long_as_the_longer_one(tenant: Tenant) -> None:
    made = await tenant.post(
        "/suppressions", {"channel": "EMAIL", "address": "a@example.org", "expiresAt": "2095-01-01T00:00:00.000Z"}
    )
    line = "address,expiresAt,note\na@example.org,{},{}\n"
    await taken(tenant, line.format("2094-01-01T00:00:00Z", "shorter"))
    assert await tenant.get(f"/suppressions/{made['id']}") == made
    await taken(tenant, line.format("", "for good"))
    now = await tenant.get(f"/suppressions/{made['id']}")
    assert now == made | {"expiresAt": None, "note": "for good"}
