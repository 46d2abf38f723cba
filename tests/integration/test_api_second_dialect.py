from itertools import product
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from models import ids
from models.ids import Kind
from models.session import Database, now_ms
from models.tables import messages
from models.vocabulary import Fact
from tests.support.api import Api, Tenant
from tests.support.no_tls import NO_TLS

NAMES = [
    "id",
    "journey_id",
    "campaign_id",
    "customer_id",
    "medium",
    "step",
    "sent",
    "delivered",
    "bounced",
    "opened",
    "clicked",
    "complained",
]


async def listing(tenant: Tenant, url: str = "/messages", **query: Any) -> Any:
    answer = await tenant.root.get(url, params=query or None)
    assert answer.status_code == 200, answer.text
    return answer.json()


def as_second(message_id: str) -> str:
    return message_id.replace("msg_", "mesg_")


async def test_a_message_under_its_other_names(tenant: Tenant, database: Database) -> None:
    contact = await tenant.contact()
    campaign = (await tenant.post("/campaigns", {"name": "Spring"}))["id"]
    sent = await tenant.send(contact, campaignId=campaign, step=3)
    page = await listing(tenant)
    (item,) = page["items"]
    assert list(item) == NAMES
    assert item == dict.fromkeys(NAMES) | {
        "id": as_second(sent["id"]),
        "campaign_id": campaign.replace("cmp_", "camp_"),
        "customer_id": contact.replace("ct_", "cust_"),
        "medium": "EMAIL",
        "step": 3,
    }
    assert (page["next"], page["prev"]) == (None, None)
    async with database.write() as connection:
        await connection.execute(messages.update().values(opened_at=now_ms(), soft_bounced_at=now_ms()))
    for form in (item["id"], sent["id"]):
        read = (await tenant.root.get(f"/messages/{form}")).json()
        assert read["sent"] == read["delivered"] == read["opened"] is not None
        assert read["bounced"] is not None
        assert (read["clicked"], read["complained"]) == (None, None)


async def test_following_next_meets_each_message_once(tenant: Tenant) -> None:
    contact = await tenant.contact()
    sent = [as_second((await tenant.send(contact))["id"]) for _ in range(7)]
    seen: list[str] = []
    backwards: list[str] = []
    page = await listing(tenant, limit=3)
    seen += [item["id"] for item in page["items"]]
    number = 1
    while page["next"]:
        await tenant.send(contact)  # new ones arrive while it is read
        number += 1
        query = parse_qs(urlsplit(page["next"]).query)
        assert (query["limit"], query["page"]) == (["3"], [str(number)])
        assert ids.parse(Kind.MESSAGE, query["before"][0]) is not None
        page = await listing(tenant, page["next"])
        seen += [item["id"] for item in page["items"]]
    assert seen == sent[::-1]
    assert number == 3
    pages = []
    while page["prev"]:
        page = await listing(tenant, page["prev"])
        pages.append(parse_qs(urlsplit(page["next"]).query)["page"] if page["next"] else None)
        backwards = [item["id"] for item in page["items"]] + backwards
    # All that was seen but the last page, and in front of it what arrived meanwhile.
    assert backwards[-6:] == seen[:6]
    assert len(backwards) == len(set(backwards)) == 8
    assert pages[0] == ["3"]


async def test_pages_by_number(tenant: Tenant) -> None:
    contact = await tenant.contact()
    sent = [as_second((await tenant.send(contact))["id"]) for _ in range(5)][::-1]
    second = await listing(tenant, limit=2, page=2)
    assert [item["id"] for item in second["items"]] == sent[2:4]
    first = await listing(tenant, second["prev"])
    assert [item["id"] for item in first["items"]] == sent[:2]
    assert first["prev"] is None
    assert (await listing(tenant, limit=2, page=9))["items"] == []


async def test_filters(tenant: Tenant) -> None:
    ann, bob = await tenant.contact(), await tenant.contact(webhookUrl="https://example.org/in")
    campaign = (await tenant.post("/campaigns", {"name": "c"}))["id"]
    journey = (await tenant.post("/journeys", {"name": "j"}))["id"]
    one = as_second((await tenant.send(ann, subject="Spring 100% sale", campaignId=campaign))["id"])
    two = as_second((await tenant.send(bob, subject="Welcome", journeyId=journey))["id"])
    three = as_second((await tenant.send(bob, channel="WEBHOOK", subject="Spring again"))["id"])

    async def found(query: str) -> list[str]:
        return [item["id"] for item in (await listing(tenant, query=query))["items"]]

    assert await found("") == [three, two, one]
    assert await found(f"cu:{ann.replace('ct_', 'cust_')}") == await found(f"cu:{ann}") == [one]
    assert await found(f"c:{campaign.replace('cmp_', 'camp_')}") == [one]
    assert await found(f"j:{journey}") == [two]
    assert await found("m:WEBHOOK") == [three]
    assert await found(f"  cu:{bob}   m:EMAIL ") == [two]
    assert await found("spring") == [three, one]
    assert await found("spring m:EMAIL") == await found("100%") == [one]
    assert await found("SPRING sale") == await found('"spring 100 sale"') == [one]
    assert await found('"spring sale"') == await found("sprin") == []
    assert await found("cu:x") == await found(f"cu:{ann} cu:{bob}") == await found("m:EMAIL m:PUSH") == []
    assert (await listing(tenant, before="x"))["items"] == []
    linked = await listing(tenant, query="spring", limit=1)
    assert [item["id"] for item in (await listing(tenant, linked["next"]))["items"]] == [one]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=1e2",
        "page=0",
        "page=x",
        "limt=5",
        "query=m:FAX",
        "query=%00",
        "query=%25",
        "query=x:y",
        "sort=status",
        "order=up",
        "sort=sent&before=x&after=x",
        "sort=step&before=BEFORE",
        "sort=sent&after=BEFORE&value=1",
        "sort=step&before=BEFORE&value=0",
    ],
)
async def test_bad_parameters(tenant: Tenant, query: str) -> None:
    some = ids.show(Kind.MESSAGE, ids.new_id())
    answer = await tenant.root.get(f"/messages?{query.replace('BEFORE', some)}")
    assert answer.status_code == 400
    assert set(answer.json()) == {"internal_code", "message"}
    assert answer.json()["internal_code"] is None
    if query == "limt=5":
        assert answer.json()["message"] == "unknown parameter; did you mean limit?"
    if query == "query=x:y":
        assert answer.json()["message"].startswith("unknown key x: one of cu, j, c, m;")


SORTABLE = [name for name in NAMES if name != "id"]


async def test_sorted_lists_by_their_links(tenant: Tenant, database: Database) -> None:
    contact, other = await tenant.contact(), await tenant.contact()
    campaign = (await tenant.post("/campaigns", {"name": "c"}))["id"]
    journey = (await tenant.post("/journeys", {"name": "j"}))["id"]
    every = [
        as_second(
            (
                await tenant.send(
                    (contact, other)[number % 2],
                    step=1 + number % 3,
                    **({"campaignId": campaign} if number % 2 else {}),
                    **({"journeyId": journey} if number % 3 else {}),
                )
            )["id"]
        )
        for number in range(7)
    ]
    async with database.write() as connection:
        for number, each in enumerate(every):
            row = messages.update().where(messages.c.id == ids.parse(Kind.MESSAGE, each))
            facts = [f"{fact.value}_at" for fact in Fact]
            await connection.execute(
                row.values({name: 1_000 * (number % 3) for at, name in enumerate(facts) if (number + at) % 2})
            )
    for name, order in product(SORTABLE, ("ASC", "DESC")):
        page = await listing(tenant, sort=name, order=order, limit=2)
        there = list(page["items"])
        while page["next"]:
            page = await listing(tenant, page["next"])
            there += page["items"]
        values = [(item[name], item["id"]) for item in there if item[name] is not None]
        assert values == sorted(values, reverse=order == "DESC"), (name, order)
        assert all(item[name] is None for item in there[len(values) :]), (name, order)
        assert sorted(item["id"] for item in there) == sorted(every)
        back: list[Any] = []
        while page["prev"]:
            page = await listing(tenant, page["prev"])
            back = page["items"] + back
        assert back == there[:6]
    oldest_first = await listing(tenant, order="ASC")
    assert [item["id"] for item in oldest_first["items"]] == every


async def test_errors_in_their_short_form(api: Api, tenant: Tenant) -> None:
    async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as client:
        answer = await client.get(f"{api.url}/messages")
    assert (answer.status_code, answer.json()) == (401, {"internal_code": None, "message": "Unauthorized"})
    other = await api.tenant()
    message = await other.send(await other.contact())
    for path in (message["id"], "mesg_1", ids.show(Kind.MESSAGE, ids.new_id())):
        unknown = await tenant.root.get(f"/messages/{path}")
        assert (unknown.status_code, unknown.json()) == (404, {"internal_code": None, "message": "Not found"})
    assert (await listing(tenant))["items"] == []
