"""``wireroom send-file`` as a person runs it, against a running API."""

from pathlib import Path

import pytest

from tests.support.api import Api, Tenant
from tests.support.commands import Answer, interrupted, wireroom
from tests.support.http_sink import HttpSink
from wireroom.ports import free_port

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def run(tenant: Tenant, *arguments: str, given: str = "", url: str = "") -> Answer:
    who = {"WIREROOM_WORKSPACE": tenant.workspace, "WIREROOM_TOKEN": tenant.token}
    where = {"WIREROOM_PUBLIC_URL": url or str(tenant.root.base_url)}
    return await wireroom("send-file", *arguments, given=given, **who, **where)


async def total(tenant: Tenant) -> int:
    return int((await tenant.get("/messages"))["pagination"]["total"])


async def test_a_file_is_checked_sent_and_sent_no_second_time(tenant: Tenant, tmp_path: Path) -> None:
    contact = await tenant.contact()
    rows = "".join(f"{contact},EMAIL,Hello {number},{number}\n" for number in range(3))
    file = tmp_path / "list.csv"
    file.write_text(f"contactId,channel,subject,metadata.row\n{rows}")
    wrong = await run(tenant, str(file))
    assert (wrong.code, wrong.out) == (1, "3 messages, none sent: mend these lines first\n")
    assert wrong.err.splitlines() == [f"line {row}, body: either body or templateId is required" for row in (2, 3, 4)]
    file.write_text(f"contactId,channel,body,metadata.row\n{rows}")
    checked = await wireroom("send-file", str(file), "--check")
    assert (checked.code, checked.out) == (0, "3 messages, nothing wrong\n"), checked.err
    assert await total(tenant) == 0
    first = await run(tenant, str(file))
    again = await run(tenant, "-", "--csv", "--json", given=file.read_text())
    other = await run(tenant, str(file), "--run", "tuesday")
    assert (first.code, first.out) == (0, "3 of 3 messages accepted\n"), first.err
    assert (again.code, other.out) == (0, "3 of 3 messages accepted\n")
    assert {name: again.json()[name] for name in ("accepted", "acceptedBefore", "errors", "stopped")} == {
        "accepted": 3,
        "acceptedBefore": 3,
        "errors": [],
        "stopped": None,
    }
    assert await total(tenant) == 6
    assert (await tenant.get("/messages"))["data"][0]["metadata"] == {"row": "2"}


async def test_what_the_api_refuses_is_named_and_ends_1(tenant: Tenant) -> None:
    contact = await tenant.contact()
    given = "".join(
        f'{{"contactId": "{contact}", "channel": "{channel}", "body": "x"}}\n' for channel in ("EMAIL", "TELEGRAM")
    )
    sent = await run(tenant, "-", given=given)
    assert sent.code == 1
    assert sent.out.startswith("1 of 2 messages accepted; 1 refused. With these lines corrected, --run ")
    assert sent.err.startswith("line 2, channel: ")
    as_json = (await run(tenant, "-", "--json", given=given)).json()
    assert (as_json["accepted"], as_json["acceptedBefore"], as_json["refused"]) == (1, 1, 1)
    assert [(error["line"], error["field"]) for error in as_json["errors"]] == [(2, "channel")]


async def test_wrong_usage_strangers_and_an_api_that_is_away(api: Api, tenant: Tenant, tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text(f'{{"contactId": "{await tenant.contact()}", "channel": "EMAIL", "body": "x"}}\n')
    usage = [
        await wireroom("send-file", str(file)),
        await run(tenant, str(tmp_path / "none.csv")),
        await run(tenant, str(tmp_path)),
        await run(tenant, str(file), "--csv", "--ndjson"),
    ]
    assert [answer.code for answer in usage] == [2] * 4
    stranger = await wireroom("send-file", str(file), "--workspace", tenant.workspace, "--token", "x", "--url", api.url)
    away = await run(tenant, str(file), url=f"http://127.0.0.1:{free_port()}")
    assert (stranger.code, away.code) == (1, 1)
    assert "0 of 1 message accepted; HTTP 401" in stranger.out
    assert "is `wireroom up` running there?" in away.out
    assert not any("Traceback" in answer.err for answer in (*usage, stranger, away))


async def test_ctrl_c_says_how_to_go_on(tenant: Tenant, web_sink: HttpSink, tmp_path: Path) -> None:
    """An API that takes its time: it has the batch when the person loses patience."""
    messages = f"/api/workspaces/{tenant.workspace}/messages"
    web_sink.script(200, path=messages, body=b'{"data": []}')
    web_sink.script(200, path=f"{messages}/batch", delay_s=60)
    file = tmp_path / "list.ndjson"
    file.write_text(f'{{"contactId": "{await tenant.contact()}", "channel": "EMAIL", "body": "x"}}\n')
    who = {"WIREROOM_WORKSPACE": tenant.workspace, "WIREROOM_TOKEN": tenant.token}
    stopped = await interrupted(
        lambda _: web_sink.received_at(f"{messages}/batch"),
        "send-file",
        str(file),
        **who,
        WIREROOM_PUBLIC_URL=web_sink.url(""),
    )
    assert stopped.code == 1
    assert stopped.out.startswith("0 of 1 message accepted; interrupted. Give the same command again,")
    assert "Traceback" not in stopped.err
