"""What a newcomer runs into: one clear line each, and never a traceback."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from models.vocabulary import FailureReason
from tests.support import commands
from tests.support.commands import wireroom
from tests.support.waiting import wait_until
from wireroom.api import ApiError, Client
from wireroom.ports import free_port


@pytest.mark.parametrize(
    "command",
    [
        ("up",),
        ("migrate",),
        ("workspace", "create", "acme"),
        ("workspace", "list"),
        ("token", "create", "--workspace", "acme"),
    ],
)
async def test_a_data_directory_that_cannot_be_made_is_named(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bind = f"127.0.0.1:{free_port()}"
    answer = await wireroom(*command, WIREROOM_DATA_DIR=str(tmp_path / "file" / "data"), WIREROOM_BIND=bind)
    assert answer.code == 1
    assert re.fullmatch(r"wireroom: WIREROOM_DATA_DIR: \S+/file is not a folder; name a folder .*\n", answer.err)


async def test_the_demo_names_its_own_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = await wireroom("demo", "--once", "--dir", str(tmp_path / "file"))
    assert answer.code == 1
    assert re.fullmatch(r"wireroom: --dir: \S+/file is not a folder; .*\n", answer.err)


async def test_the_broker_alone_says_it_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, err = await commands.module("wireroom.embedded", str(tmp_path / "file"))
    assert (code, err.count("\n")) == (1, 1)
    assert "is not a folder" in err


async def test_doctor_says_what_is_true_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    blocked = (await wireroom("doctor", "--json", WIREROOM_DATA_DIR=str(tmp_path / "file" / "data"))).json()
    missing = (await wireroom("doctor", "--json", WIREROOM_DATA_DIR=str(tmp_path / "data"))).json()
    first, second = blocked["findings"][0], missing["findings"][0]
    assert "is not a folder" in first["detail"]
    assert "WIREROOM_DATA_DIR" in first["mend"]
    assert second["mend"] == "`wireroom up` makes it"


@dataclass(frozen=True)
class Told:
    """What a house said that ran until it was told to stop. ``attempt``: of a webhook that may not be sent."""

    code: int
    refused: list[str]
    attempt: dict[str, Any]
    log: str


async def told(folder: Path) -> Told:
    """By one house as it comes, whose log is asked for as JSON."""
    log = folder.with_suffix(".log")
    async with commands.running(folder, WIREROOM_LOG_FORMAT="json") as up:
        workspace, token = await commands.tenant_of(up)
        refused = []
        async with Client(up.url, workspace, token) as client:
            fields = {"email": "ann@example.org", "webhookUrl": "https://127.0.0.1/hook"}
            message = {"contactId": (await client.post("/contacts", fields))["id"], "body": "hello"}
            for channel in ("EMAIL", "TELEGRAM"):
                with pytest.raises(ApiError) as raised:
                    await client.post("/messages", message | {"channel": channel})
                refused.append(str(raised.value))
            sent = await client.post("/messages", message | {"channel": "WEBHOOK"})
            await wait_until(lambda: "send.ended" in log.read_text())

            async def failed() -> bool:
                return bool((await client.get(f"/messages/{sent['id']}"))["status"] == "FAILED")

            await wait_until(failed)
            (attempt,) = (await client.get(f"/messages/{sent['id']}"))["attempts"]
        await wait_until(lambda: log.read_text().count("worker.started") >= 2)  # that of the bulk lanes, too
        code = await up.stop()
    return Told(code, refused, attempt, log.read_text())


async def test_a_log_is_json_when_that_is_asked_for_and_names_what_the_operator_has_to_allow(tmp_path: Path) -> None:
    said = await told(tmp_path / "data")
    every_line_is_json(said)
    what_has_to_be_allowed_is_named(said)


def every_line_is_json(told: Told) -> None:
    assert told.code == 0
    lines = [json.loads(line) for line in told.log.splitlines()]
    assert [line["channels"] for line in lines if line["event"] == "worker.started"] == [
        ["ONSITE", "PUSH", "WEBHOOK"]
    ] * 2
    assert not any("Uvicorn running" in line["event"] for line in lines)


def what_has_to_be_allowed_is_named(told: Told) -> None:
    mail, telegram = told.refused
    assert re.search(r"422.*WIREROOM_SMTP_URL", mail)
    assert re.search(r"422.*WIREROOM_TELEGRAM_BOT_TOKEN", telegram)
    assert "WIREROOM_WEBHOOK_ALLOW_NETS" in told.attempt["detail"]
    (ended,) = [line for line in map(json.loads, told.log.splitlines()) if line["event"] == "send.ended"]
    assert (ended["outcome"], ended["reason"]) == ("Permanent", FailureReason.FORBIDDEN_DESTINATION.value)
    # Not the attempt's number, as the API counts them: what is sent again skips one.
    assert (ended["fencing_token"], ended.get("attempt")) == (1, None)


async def test_a_broker_that_does_not_answer_is_said_once_and_stops_nothing(tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    settings = {
        "WIREROOM_DATA_DIR": str(tmp_path / "data"),
        "WIREROOM_BIND": f"127.0.0.1:{free_port()}",
        "WIREROOM_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "WIREROOM_LOG_FORMAT": "json",
    }
    async with commands.started(log, **settings):
        # Each of the two workers, whoever comes first.
        await wait_until(lambda: log.read_text().count("no broker, trying again") >= 2)
        events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert [event.partition(":")[0] for event in events].count("WIREROOM_REDIS_URL") == 1
    assert events.count("no broker, trying again") == 2


async def test_a_broker_whose_keys_somebody_else_uses_is_said_at_the_start(tmp_path: Path, redis_url: str) -> None:
    log = tmp_path / "up.log"
    with redis.Redis.from_url(redis_url) as client:
        client.set("wireroom:email", "another program's")
    settings = {
        "WIREROOM_DATA_DIR": str(tmp_path / "data"),
        "WIREROOM_BIND": f"127.0.0.1:{free_port()}",
        "WIREROOM_REDIS_URL": redis_url,
        "WIREROOM_LOG_FORMAT": "json",
    }
    async with commands.started(log, **settings):
        await wait_until(lambda: "no broker, trying again" in log.read_text(), timeout=40)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    named = [line["event"].partition(":")[0] for line in lines if "wireroom:email is a" in str(line.get("error"))]
    assert {"WIREROOM_REDIS_URL", "no broker, trying again"} <= set(named)


async def test_up_says_what_is_on_and_that_it_finishes(tmp_path: Path) -> None:
    bind = f"127.0.0.1:{free_port()}"
    folder = str(tmp_path / "data")
    async with commands.started(tmp_path / "up.log", WIREROOM_DATA_DIR=folder, WIREROOM_BIND=bind) as said:
        await wait_until(lambda: "Ctrl-C" in said.read_text(), timeout=40)
    shown = re.search(r"Channels +(.+?) *│", said.read_text())
    assert shown is not None
    assert set(shown[1].split(", ")) == {"PUSH", "ONSITE", "WEBHOOK"}
    assert "EMAIL is off: set WIREROOM_SMTP_URL and WIREROOM_EMAIL_FROM, then start again" in said.read_text()
    assert "TELEGRAM is off: set WIREROOM_TELEGRAM_BOT_TOKEN, then start again" in said.read_text()
    assert "Finishing what is being sent" in said.read_text()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"WIREROOM_SMTP_URL": "mail.example.org"}, ["WIREROOM_SMTP_URL", "smtp://"]),
        ({"WIREROOM_SMTP_URL": "smtp://mail.example.org"}, ["WIREROOM_EMAIL_FROM", "noreply@example.org"]),
        (
            {"WIREROOM_SMTP_URL": "smtp://mail.example.org", "WIREROOM_EMAIL_FROM": "Acme"},
            ["WIREROOM_EMAIL_FROM", "@"],
        ),
        ({"WIREROOM_BIND": "8080"}, ["WIREROOM_BIND", "127.0.0.1:8080"]),
        ({"WIREROOM_WEBHOOK_ALLOW_NETS": "10.0.0.1/8"}, ["WIREROOM_WEBHOOK_ALLOW_NETS", "127.0.0.0/8"]),
    ],
)
async def test_a_setting_that_cannot_be_used_shows_one_that_can(
    settings: dict[str, str], words: list[str], tmp_path: Path
) -> None:
    answer = await wireroom("up", **{"WIREROOM_DATA_DIR": str(tmp_path / "data")} | settings)
    assert answer.code == 1
    assert answer.err.count("\n") == 1
    assert all(word in answer.err for word in words), answer.err


async def test_a_taken_name_tells_the_id_and_the_list_shows_it(sqlite_url: str) -> None:
    folder = {"WIREROOM_DATA_DIR": str(Path(sqlite_url.removeprefix("sqlite:///")).parent)}
    made = (await wireroom("workspace", "create", "acme", **folder)).out.strip()
    taken = await wireroom("workspace", "create", "acme", **folder)
    assert (taken.code, taken.out) == (1, "")
    assert made in taken.err
    listed = await wireroom("workspace", "list", **folder)
    assert listed.out == f"{made}  acme\n"
    as_json = await wireroom("workspace", "list", "--json", **folder)
    assert as_json.json() == {"data": [{"id": made, "name": "acme"}]}


async def test_a_database_that_is_not_there_is_said_plainly(postgres_url: str, tmp_path: Path) -> None:
    settings = {"WIREROOM_DATABASE_URL": postgres_url.replace("?", "_missing?"), "WIREROOM_DATA_DIR": str(tmp_path)}
    created = await wireroom("workspace", "create", "acme", **settings)
    examined = await wireroom("doctor", "--json", **settings)
    assert (created.code, examined.code) == (1, 1)
    assert re.fullmatch(r"wireroom: the database refuses \(.*does not exist.*\n", created.err)
    (found,) = [each["detail"] for each in examined.json()["findings"] if each["part"] == "database"]
    assert "does not exist" in found


async def test_doctor_doubts_what_nothing_reads_and_a_short_key(sqlite_url: str) -> None:
    answer = await wireroom(
        "doctor",
        "--json",
        WIREROOM_DATA_DIR=str(Path(sqlite_url.removeprefix("sqlite:///")).parent),
        WIREROOM_SMTPURL="smtp://mail.example.org",
        WIREROOM_SECRET_KEY="short",
    )
    assert answer.code == 0, answer.out
    doubts = {each["part"]: each for each in answer.json()["findings"] if each["mend"]}
    assert doubts["settings"]["mend"] == "did you mean WIREROOM_SMTP_URL?"
    assert "WIREROOM_SECRET_KEY" in doubts["secret key"]["detail"]


async def test_send_without_an_api_says_where_it_looked() -> None:
    place = f"127.0.0.1:{free_port()}"
    who = ("--workspace", "ws_x", "--token", "wr_live_x", "--contact", "ct_x", "--body", "x")
    answer = await wireroom("send", *who, "--url", f"http://{place}")
    assert answer.code == 1
    assert all(word in answer.err for word in (place, "wireroom up", "--url"))


async def test_the_help_names_every_channel() -> None:
    version, shown = await wireroom("--version"), await wireroom("--help")
    assert re.fullmatch(r"wireroom \d+\.\d+\.\d+\n", version.out)
    said = re.sub(r"\W+", " ", shown.out.lower())
    assert "by email web push telegram inbox and webhook" in said
