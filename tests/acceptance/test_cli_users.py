from pathlib import Path

import pytest

from models.ids import Kind, parse
from tests.support import commands
from tests.support.commands import wireroom
from tests.support.people import PASSWORD, browser


@pytest.fixture
def migrated(sqlite_url: str) -> dict[str, str]:
    """The settings of a folder that holds a database at its newest schema."""
    return {"WIREROOM_DATA_DIR": str(Path(sqlite_url.removeprefix("sqlite:///")).parent)}


async def test_a_person_signs_in_with_the_password_that_was_shown(tmp_path: Path) -> None:
    async with commands.running(tmp_path / "data") as up:
        await commands.until_ready(up)
        await wireroom("workspace", "create", "acme", **up.settings)
        made = await wireroom("user", "create", "robin@example.org", "--workspace", "acme", **up.settings)
        assert made.code == 0, made.err
        assert parse(Kind.USER, made.out.strip()) is not None
        password = made.err.strip().rpartition(" ")[2]
        async with browser(up.url) as robin:
            assert (await robin.sign_in("robin@example.org", password)).status_code == 200
            assert robin.who["user"]["id"] == made.out.strip()
            assert robin.who["workspaces"][0]["role"] == "admin"
            new = await wireroom(
                "user", "password", "robin@example.org", "--password-stdin", given=f"{PASSWORD}\n", **up.settings
            )
            assert (new.code, new.out) == (0, made.out)
            assert (await robin.get("/api/auth/session")).status_code == 401
            assert (await robin.sign_in("robin@example.org")).status_code == 200


async def test_a_second_workspace_is_joined_with_the_same_account(migrated: dict[str, str]) -> None:
    for name in ("acme", "bolt"):
        await wireroom("workspace", "create", name, **migrated)
    given = {"given": PASSWORD} | migrated
    email = "robin@example.org"
    first = await wireroom("user", "create", email, "--workspace", "acme", "--password-stdin", "--json", **given)
    assert first.json() == {"id": first.json()["id"], "role": "admin", "new": True}
    assert PASSWORD not in first.out + first.err
    taken = await wireroom("user", "create", email, "--workspace", "bolt", "--password-stdin", **given)
    assert (taken.code, taken.out) == (1, "")
    assert "leave the password out" in taken.err
    joined = await wireroom("user", "create", email, "--workspace", "bolt", "--role", "member", "--json", **migrated)
    assert joined.json() == {"id": first.json()["id"], "role": "member", "new": False}
    again = await wireroom("user", "create", email, "--workspace", "bolt", **migrated)
    assert again.code == 1


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (("create", "robin@example.org", "--workspace", "nowhere"), "", "workspace list"),
        (("create", "robin", "--workspace", "acme"), "", "@"),
        (("create", "robin@example.org", "--workspace", "acme", "--password-stdin"), "short", "12"),
        (("create", "robin@example.org", "--workspace", "acme", "--password-stdin"), "password1234", "guessed"),
        (("password", "robin@example.org"), "", "user create"),
    ],
)
async def test_what_fails_says_why(migrated: dict[str, str], arguments: tuple[str, ...], given: str, said: str) -> None:
    await wireroom("workspace", "create", "acme", **migrated)
    answer = await wireroom("user", *arguments, given=given, **migrated)
    assert (answer.code, answer.out) == (1, "")
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert not given or given not in answer.err


async def test_a_role_that_nobody_knows_is_wrong_usage(migrated: dict[str, str]) -> None:
    answer = await wireroom("user", "create", "robin@example.org", "--workspace", "a", "--role", "owner", **migrated)
    assert answer.code == 2
