"""The client in one file, against the API."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from tests.support.api import Api, Tenant
from wireroom.client import AsyncWireroom, Conflict, NewMessage, NotFound, Refused, Wireroom


@pytest.fixture
async def wireroom(api: Api, tenant: Tenant) -> AsyncIterator[AsyncWireroom]:
    async with AsyncWireroom(tenant.token, tenant.workspace, api.url) as opened:
        yield opened


def mail(contact: str, **fields: str) -> NewMessage:
    return cast(NewMessage, {"contactId": contact, "channel": "EMAIL", "body": "Hello"} | fields)


async def test_one_message_from_beginning_to_end(wireroom: AsyncWireroom, tenant: Tenant) -> None:
    contact = await tenant.contact()
    sent = await wireroom.send(mail(contact), key="order-1")
    assert (sent["status"], sent["contactId"]) == ("QUEUED", contact)
    assert (await wireroom.send(mail(contact), key="order-1"))["id"] == sent["id"]
    assert (await wireroom.send(mail(contact), wait=1))["id"] != sent["id"]
    assert (await wireroom.get(sent["id"]))["attempts"] == []
    assert (await wireroom.why(sent["id"]))["because"]
    with pytest.raises(Conflict):
        await wireroom.retry(sent["id"])
    assert (await wireroom.cancel(sent["id"]))["failureReason"] == "cancelled"
    with pytest.raises(Conflict):
        await wireroom.cancel(sent["id"])
    with pytest.raises(NotFound):
        await wireroom.get("msg_nobody")
    with pytest.raises(Refused) as raised:
        await wireroom.send({"contactId": contact, "channel": "TELEGRAM", "body": "Hello"})
    assert raised.value.failure_reason is not None
    assert (await wireroom.request("GET", f"/contacts/{contact}"))["id"] == contact


async def test_a_batch_under_keys_of_its_own(wireroom: AsyncWireroom, tenant: Tenant) -> None:
    contact = await tenant.contact()
    first = await wireroom.send_batch(
        [mail(contact, idempotencyKey="a"), mail(contact, idempotencyKey="b"), mail("ct_x", idempotencyKey="c")]
    )
    assert [item["status"] for item in first] == [200, 200, 404]
    # Corrected, in another order, and with a line more; a key is good for its own request alone.
    second = await wireroom.send_batch(
        [
            mail(contact, idempotencyKey="c"),
            mail(contact, idempotencyKey="b"),
            mail(contact),
            mail(contact, idempotencyKey="a"),
            mail(contact, idempotencyKey="a", subject="Another"),
            mail(contact, idempotencyKey="d"),
            mail(contact, idempotencyKey="d"),
        ]
    )
    assert [item["status"] for item in second] == [200, 200, 200, 200, 422, 200, 200]
    ids = [item["message"]["id"] for item in first[:2]]
    assert [second[place]["message"]["id"] for place in (3, 1)] == ids
    assert second[5]["message"]["id"] == second[6]["message"]["id"]
    # The same as one message alone under that key.
    assert (await wireroom.send(mail(contact), key="b"))["id"] == ids[1]
    assert (await tenant.get("/messages"))["pagination"]["total"] == 5
    bad = await wireroom.send_batch([mail(contact, idempotencyKey="é"), mail(contact, idempotencyKey="")])
    assert [item["problem"]["errors"][0]["pointer"] for item in bad] == ["#/idempotencyKey"] * 2


async def test_the_iterator_meets_each_message_once(wireroom: AsyncWireroom, tenant: Tenant, api: Api) -> None:
    contact = await tenant.contact()
    sent = [(await tenant.send(contact))["id"].removeprefix("msg_") for _ in range(5)]
    seen = []
    async for each in wireroom.messages(limit=2, query=f"cu:{contact}"):
        seen.append(each["id"].removeprefix("mesg_"))
        await tenant.send(contact)  # new ones arrive while it is read
    assert seen == sent[::-1]

    def read() -> list[str]:
        with Wireroom(tenant.token, tenant.workspace, api.url) as blocking:
            return [each["medium"] for each in blocking.messages(limit=4)]

    assert await asyncio.to_thread(read) == ["EMAIL"] * 10
