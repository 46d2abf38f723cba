import sqlite3
from pathlib import Path

import pytest

from models.secrets import is_token
from models.vocabulary import Scope
from tests.support import bot_api, commands, smtp_sink
from tests.support.commands import wireroom
from tests.support.waiting import wait_until
from wireroom.ports import free_port


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return {"WIREROOM_DATA_DIR": str(tmp_path / "data")}


@pytest.fixture
def migrated(sqlite_url: str) -> dict[str, str]:
    """The settings of a folder that holds a database at its newest schema."""
    return {"WIREROOM_DATA_DIR": str(Path(sqlite_url.removeprefix("sqlite:///")).parent)}


def mode_of(folder: str) -> int:
    return Path(folder).stat().st_mode & 0o777


def open_to_all(folder: str) -> None:
    Path(folder).chmod(0o755)


async def test_migrate_makes_the_folder_for_us_alone_and_may_be_repeated(settings: dict[str, str]) -> None:
    first = await wireroom("migrate", "--json", **settings)
    second = await wireroom("migrate", "--json", **settings)
    assert (first.code, second.code) == (0, 0), first.err
    assert first.json() == second.json()
    assert mode_of(settings["WIREROOM_DATA_DIR"]) == 0o700


async def test_create_prints_the_id_and_the_secret_alone(migrated: dict[str, str]) -> None:
    workspace = await wireroom("workspace", "create", "acme", **migrated)
    assert workspace.code == 0, workspace.err
    assert workspace.out.startswith("ws_")
    by_name = await wireroom("token", "create", "--workspace", "acme", **migrated)
    by_id = await wireroom("token", "create", "--workspace", workspace.out.strip(), **migrated)
    test = await wireroom("token", "create", "--workspace", "acme", "--test", **migrated)
    for answer, prefix in ((by_name, "wr_live_"), (by_id, "wr_live_"), (test, "wr_test_")):
        assert answer.code == 0, answer.err
        assert is_token(answer.out.strip(), prefix)
    assert by_name.out != by_id.out


async def test_a_token_has_every_scope_but_essential_unless_told(migrated: dict[str, str]) -> None:
    await wireroom("workspace", "create", "acme", **migrated)
    usual = await wireroom("token", "create", "--workspace", "acme", "--json", **migrated)
    scopes = ("--scope", "essential", "--scope", "messages:read", "--expires", "30d")
    asked = await wireroom("token", "create", "--workspace", "acme", *scopes, "--json", **migrated)
    assert set(usual.json()["scopes"]) == set(Scope) - {Scope.ESSENTIAL}
    assert asked.json()["scopes"] == ["essential", "messages:read"]
    with sqlite3.connect(Path(migrated["WIREROOM_DATA_DIR"]) / "wireroom.db") as database:
        expiries = [row[0] is None for row in database.execute("SELECT expires_at FROM api_keys ORDER BY id")]
    database.close()
    assert expiries == [True, False]


async def test_what_fails_says_why_and_exits_1(migrated: dict[str, str], tmp_path: Path) -> None:
    await wireroom("workspace", "create", "acme", **migrated)
    taken = await wireroom("workspace", "create", "acme", **migrated)
    unknown = await wireroom("token", "create", "--workspace", "nobody", "--json", **migrated)
    no_schema = await wireroom("workspace", "create", "acme", WIREROOM_DATA_DIR=str(tmp_path / "empty"))
    bad_setting = await wireroom("migrate", WIREROOM_DATABASE_URL="mysql://localhost/x", **migrated)
    away = f"postgresql://nobody@127.0.0.1:{free_port()}/x"
    no_database = await wireroom("workspace", "create", "acme", WIREROOM_DATABASE_URL=away)
    answers = (taken, unknown, no_schema, bad_setting, no_database)
    assert [answer.code for answer in answers] == [1, 1, 1, 1, 1]
    assert "exists" in taken.err
    assert "nobody" in unknown.json()["error"]
    assert "wireroom migrate" in no_schema.err
    assert "WIREROOM_DATABASE_URL" in bad_setting.err
    assert "wireroom doctor" in no_database.err
    assert not any("Traceback" in answer.err for answer in answers)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("workspace", "create"),
        ("token", "create", "--workspace", "acme", "--scope", "everything"),
        ("token", "create", "--workspace", "acme", "--expires", "soon"),
        ("up", "--workers", "0"),
        ("send", "--body", "hello"),
        ("send", "--token", "wr_live_x", "--workspace", "ws_x", "--body", "hello"),
    ],
)
async def test_wrong_usage_exits_2(arguments: tuple[str, ...], settings: dict[str, str]) -> None:
    answer = await wireroom(*arguments, **settings)
    assert answer.code == 2
    assert "Traceback" not in answer.err


async def test_doctor_finds_a_fresh_installation_well(migrated: dict[str, str]) -> None:
    answer = await wireroom("doctor", "--json", **migrated)
    assert answer.code == 0, answer.out
    assert answer.json()["ok"]
    parts = {finding["part"] for finding in answer.json()["findings"]}
    stored = {"data directory", "disk", "database", "schema", "clock", "messages", "secret key"}
    assert parts == stored | {"broker", "SMTP", "web push", "Telegram"}


async def test_doctor_breaks_no_lines_and_says_whose_settings_it_read(migrated: dict[str, str]) -> None:
    answer = await wireroom("doctor", WIREROOM_PUBLIC_URL=f"https://{'long-name.' * 15}example.org", **migrated)
    assert answer.code == 0, answer
    first, *lines = answer.out.splitlines()
    assert "this shell" in first
    assert all(line == line.rstrip() and line.startswith(("✓ ", "! ", "  → ")) for line in lines)
    assert max(map(len, lines)) > 160


async def test_doctor_asks_the_bot_api_who_the_bot_is(migrated: dict[str, str]) -> None:
    async with bot_api.running() as api:
        answers = [
            await wireroom(
                "doctor", "--json", WIREROOM_TELEGRAM_BOT_TOKEN=token, WIREROOM_TELEGRAM_API_URL=url, **migrated
            )
            for token, url in (
                (bot_api.TOKEN, api.url),
                (f"{bot_api.TOKEN}x", api.url),
                (bot_api.TOKEN, f"http://127.0.0.1:{free_port()}"),
            )
        ]
    assert [answer.code for answer in answers] == [0, 1, 1], answers
    found = [finding for answer in answers for finding in answer.json()["findings"] if finding["part"] == "Telegram"]
    assert "@wireroom_bot" in found[0]["detail"]
    assert "correct WIREROOM_TELEGRAM_BOT_TOKEN" in found[1]["mend"]
    assert "reachable" in found[2]["mend"]
    assert not any(bot_api.TOKEN.partition(":")[2] in answer.out + answer.err for answer in answers)
    assert api.ledger == []


async def test_doctor_names_each_fault_and_its_mend(migrated: dict[str, str]) -> None:
    folder = migrated["WIREROOM_DATA_DIR"]
    open_to_all(folder)
    nobody = f"127.0.0.1:{free_port()}"
    answer = await wireroom(
        "doctor",
        "--json",
        WIREROOM_DATABASE_URL=f"sqlite:///{folder}/other.db",
        WIREROOM_REDIS_URL=f"redis://{nobody}/0",
        WIREROOM_SMTP_URL=f"smtp+plain://{nobody}",
        WIREROOM_EMAIL_FROM="a@example.org",
        **migrated,
    )
    assert answer.code == 1
    faults = {finding["part"]: finding["mend"] for finding in answer.json()["findings"] if not finding["ok"]}
    assert set(faults) == {"data directory", "schema", "broker", "SMTP"}
    assert all(faults.values())


async def test_doctor_logs_in_to_the_mail_server(migrated: dict[str, str]) -> None:
    async with smtp_sink.running(username="robin", password="right", auth_over_plain=True) as sink:
        answers = [
            await wireroom(
                "doctor",
                WIREROOM_SMTP_URL=f"smtp+plain://robin:{password}@127.0.0.1:{sink.port}",
                WIREROOM_EMAIL_FROM="a@example.org",
                **migrated,
            )
            for password in ("right", "wrong")
        ]
    assert [answer.code for answer in answers] == [0, 1], answers
    assert "WIREROOM_SMTP_URL" in answers[1].out
    assert not any("robin" in answer.out or "wrong" in answer.out for answer in answers)


async def test_send_makes_the_contact_and_prints_the_message(tmp_path: Path) -> None:
    async with (
        smtp_sink.running() as sink,
        commands.running(
            tmp_path / "data",
            WIREROOM_SMTP_URL=f"smtp+plain://127.0.0.1:{sink.port}",
            WIREROOM_EMAIL_FROM="library@demo.example",
        ) as up,
    ):
        workspace, token = await commands.workspace_and_token(up)
        who = {"WIREROOM_WORKSPACE": workspace, "WIREROOM_TOKEN": token} | up.settings
        mail = ("--to", "reader@example.org", "--subject", "Hello")
        first = await wireroom("send", *mail, "--body", "one", **who)
        second = await wireroom("send", *mail, "--body", "-", "--json", given="zwei ☕", **who)
        refused = await wireroom("send", "--contact", "ct_nobody", "--body", "x", **who)
        why = await wireroom("why", first.out.strip(), **who)
        as_json = await wireroom("why", first.out.strip(), "--json", **who)
        nobody = await wireroom("why", "msg_nobody", **who)
        contact = second.json()["contactId"]
        off = await wireroom("send", "--contact", contact, "--channel", "telegram", "--body", "x", **who)
        assert off.err.count("has no sender") == 1
        assert "#/channel" in off.err
        assert (why.code, as_json.json()["id"], nobody.code) == (0, first.out.strip(), 1)
        assert as_json.json()["because"]
        assert ":" in why.out
        assert "404" in nobody.err
        assert first.code == 0, first.err
        assert first.out.startswith("msg_")
        assert second.json()["status"] == "QUEUED"
        assert refused.code == 1
        assert "404" in refused.err
        await wait_until(lambda: len(sink.mails) == 2)
        texts = {mail.parsed().get_content().strip() for mail in sink.mails}
        assert texts == {"one", "zwei ☕"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_shells_are_told_how_to_complete_commands(shell: str) -> None:
    script = await wireroom(_WIREROOM_COMPLETE=f"source_{shell}")
    assert script.code == 0, script.err
    assert f"complete_{shell}" in script.out
    begun = {"COMP_WORDS": "wireroom send", "COMP_CWORD": "1"} | {
        "_TYPER_COMPLETE_ARGS": "wireroom send",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    offered = await wireroom(_WIREROOM_COMPLETE=f"complete_{shell}", **begun)
    assert "send-file" in offered.out
    assert "replay" not in offered.out
