"""``wireroom audit``: what the command line, strangers and everybody else did, for who runs the house."""

from pathlib import Path

import pytest

from tests.support.commands import wireroom
from tests.support.people import PASSWORD


@pytest.fixture
def migrated(sqlite_url: str) -> dict[str, str]:
    """The settings of a folder that holds a database at its newest schema."""
    return {"WIREROOM_DATA_DIR": str(Path(sqlite_url.removeprefix("sqlite:///")).parent)}


async def test_what_the_command_line_made_is_shown(migrated: dict[str, str]) -> None:
    acme = (await wireroom("workspace", "create", "acme", **migrated)).out.strip()
    bolt = (await wireroom("workspace", "create", "bolt", **migrated)).out.strip()
    given = {"given": PASSWORD} | migrated
    robin = await wireroom("user", "create", "robin@example.org", "--workspace", "acme", "--password-stdin", **given)
    await wireroom("user", "create", "robin@example.org", "--workspace", "bolt", "--role", "member", **migrated)
    await wireroom("user", "password", "robin@example.org", "--password-stdin", **given)
    await wireroom("token", "create", "--workspace", "acme", "--scope", "messages:read", **migrated)
    told = (await wireroom("audit", "--json", **migrated)).json()
    assert told["total"] == 7
    assert [each["action"] for each in reversed(told["data"])] == [
        *("workspace.create", "workspace.create", "user.create", "user.join"),
        *("user.change", "user.change", "key.create"),
    ]
    assert [each["workspace"] for each in reversed(told["data"][3:])] == [acme, bolt, acme, bolt]
    assert told["data"][0]["details"] == {"scopes": ["messages:read"]}
    assert {each["workspace"] for each in told["data"][1:3]} == {acme, bolt}
    assert {each["actor"] for each in told["data"]} == {"command"}
    ours = await wireroom("audit", "--workspace", "bolt", "--object", robin.out.strip(), "--since", "1h", **migrated)
    last, first = reversed(ours.out.splitlines())
    assert "user.join" in first
    assert last.endswith(f"  {bolt}  command  user.change  done  {robin.out.strip()}  fields=password")
    assert "@" not in ours.out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--workspace", "nowhere"), 1),
        (("--actor", "robin"), 2),
        (("--object", "nothing"), 2),
        (("--since", "yesterday"), 2),
        (("--action", "none"), 2),
    ],
)
async def test_what_is_wrong_is_named(migrated: dict[str, str], arguments: tuple[str, ...], code: int) -> None:
    answer = await wireroom("audit", *arguments, **migrated)
    assert (answer.code, answer.out) == (code, "")
    assert arguments[-1].split()[0] in answer.err or arguments[0] in answer.err
