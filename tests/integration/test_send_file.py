"""Files of messages through the API: interrupted, repeated, corrected, and while the API is busy."""

import io
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from models import ids
from models.ids import Kind
from models.session import Database
from models.tables import messages
from models.vocabulary import Scope
from tests.support.api import Api, Tenant
from tests.support.http_sink import HttpSink
from wireroom.api import Client
from wireroom.message_files import Form
from wireroom.send_file import Sender, Tally


class Stopped(Exception):
    """Somebody pressed Ctrl-C."""


def lines(contact: str, bodies: Sequence[str]) -> list[str]:
    return [json.dumps({"contactId": contact, "channel": "EMAIL", "body": body}) for body in bodies]


async def send(url: str, who: tuple[str, str], given: Sequence[str], *, stop_after: int | None = None) -> Tally:
    tally = Tally("run", len(given))
    through = 0

    def advance(count: int) -> None:
        nonlocal through
        through += count
        if stop_after is not None and through >= stop_after:
            raise Stopped

    clients = [Client(url, *who) for _ in range(2)]
    try:
        await Sender(clients, tally, advance).send(io.BytesIO("\n".join(given).encode()), Form.NDJSON)
    except Stopped:
        tally.stopped = "interrupted"
    return tally


async def test_an_interrupted_run_goes_on_and_a_repeated_one_sends_nothing(api: Api, tenant: Tenant) -> None:
    who = (tenant.workspace, tenant.token)
    given = lines(await tenant.contact(), [str(number % 700) for number in range(1100)])
    first = await send(api.url, who, given, stop_after=500)
    assert (first.accepted, first.before, first.stopped) == (500, 0, "interrupted")
    second = await send(api.url, who, given)
    assert (second.accepted, second.before, second.faults) == (1100, 500, [])
    third = await send(api.url, who, given)
    assert (third.accepted, third.before) == (1100, 1100)
    assert (await tenant.get("/messages"))["pagination"]["total"] == 1100


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_corrected_file_sends_no_other_line_again(api: Api, tenant: Tenant, database: Database) -> None:
    contact = await tenant.contact()
    stranger = ids.show(Kind.CONTACT, ids.new_id())
    wrong = [*lines(contact, "abc"), *lines(stranger, "d"), *lines(contact, "e")]
    first = await send(api.url, (tenant.workspace, tenant.token), wrong)
    assert (first.accepted, first.refused) == (4, 1)
    assert [str(fault) for fault in first.faults] == ["line 4, contactId: There is no such contact."]
    second = await send(api.url, (tenant.workspace, tenant.token), lines(contact, "zabde"))
    assert (second.accepted, second.before, second.refused) == (5, 3, 0)
    async with database.read() as connection:
        rows = (await connection.execute(messages.select())).all()
    assert len(rows) == 6


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_token_that_may_not_read_will_do(api: Api, tenant: Tenant) -> None:
    contact = await tenant.contact()
    writer = await api.tenant({Scope.MESSAGES_WRITE}, of=tenant)
    sent = await send(api.url, (writer.workspace, writer.token), lines(contact, "ab"))
    assert (sent.accepted, sent.before) == (2, 0)


def answers(*statuses: int) -> bytes:
    def one(status: int) -> dict[str, Any]:
        if status == 200:
            return {"status": 200, "message": {"id": "msg_2"}}
        return {"status": status, "problem": {"status": status, "title": "Later"}}

    return msgspec.json.encode({"data": [one(status) for status in statuses]})


async def test_what_found_the_api_busy_is_sent_again_alone(web_sink: HttpSink) -> None:
    batch = "/api/workspaces/ws_x/messages/batch"
    web_sink.script(200, body=b'{"data": [{"id": "msg_1"}]}')
    web_sink.script(200, path=batch, body=answers(200))
    web_sink.script(200, path=batch, body=answers(200, 409), times=1)
    web_sink.script(200, path=batch, body=answers(200, 503, 409, 422), times=1)
    tally = await send(web_sink.url(""), ("ws_x", "wr_live_x"), lines("ct_x", "abcd"))
    bodies = [[item["body"] for item in request.json()] for request in web_sink.received_at(batch)]
    assert bodies == [["a", "b", "c", "d"], ["b", "c"], ["c"]]
    assert (tally.accepted, tally.refused) == (3, 1)
