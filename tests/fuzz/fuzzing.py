"""schemathesis over the OpenAPI document, against a server of its own: ``make fuzz``, and a short form of it in tests.

Every check of it is on. Cases are made of the document's examples, of its schemas (what fits them, and what does not),
and of what earlier answers held. The seed is fixed, so that a run can be repeated.
"""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

import httpx

from api_shim.examples import catalogue
from api_shim.routing import OPERATIONS
from tests.fuzz.hooks import KEY_VARIABLE
from tests.support.api import Api
from tests.support.example_world import World, example_of
from tests.support.no_tls import NO_TLS
from tests.support.people import browser
from tests.support.processes import die_with_parent, free_environment, stop
from tests.support.waiting import wait_until
from wireroom.ports import free_port

ROOT: Final = Path(__file__).parents[2]
SEED: Final = 20260115
# What fits the schema may still be refused: an unknown id, a name that is taken, a rule that no schema can say. Never
# may it end in a 5xx, in a status that is not documented, or in an answer that its own schema does not allow.
_FITS: Final = ["2xx", "302", "400", "401", "403", "404", "409", "413", "422", "429"]
_DOES_NOT_FIT: Final = ["400", "401", "403", "404", "405", "408", "409", "413", "415", "422", "429", "431"]
_SIGNED_IN: Final = [each for each in OPERATIONS if each.needs_session and each.request is None]
# Of a batch each item is answered for itself, a bad one too, and any text is a mail: the whole is 200.
_TAKE_ANYTHING: Final = [
    each for each in OPERATIONS if each.request is str or not (each.request is None or isinstance(each.request, type))
]
_GENERATED: Final = re.compile(r"^ +(\d+) generated", re.MULTILINE)


def _start(environment: Mapping[str, str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "api_shim.app"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - it calls one function of the C library
    )


@contextlib.asynccontextmanager
async def server(folder: Path, database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """``api_shim.app`` as a process of its own."""
    port = free_port()
    environment = free_environment() | {
        "WIREROOM_DATA_DIR": str(folder),
        "WIREROOM_DATABASE_URL": database_url,
        "WIREROOM_REDIS_URL": redis_url,
        "WIREROOM_BIND": f"127.0.0.1:{port}",
        "WIREROOM_SMTP_URL": "smtp+plain://127.0.0.1:25",
        "WIREROOM_EMAIL_FROM": "Wireroom <noreply@example.org>",
    }
    with (folder / "api.log").open("wb") as log:
        process = _start(environment, log)
    api = Api(f"http://127.0.0.1:{port}", database_url)
    try:
        async with httpx.AsyncClient(base_url=api.url, trust_env=False, verify=NO_TLS) as client:

            async def answers() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get("/health/live")).status_code == 200
                return False

            await wait_until(answers, timeout=60)
        yield api
    finally:
        await api.close()
        stop(process)


async def prepare(folder: Path, world: World, cases: int) -> Path:
    """A row of every kind in the workspace, and schemathesis' settings for it; their file."""
    await world.build()
    settings: dict[str, Any] = {
        "seed": SEED,
        "headers.Authorization": f"Bearer {world.tenant.token}",
        "hooks": "tests.fuzz.hooks",
        "cache.enabled": False,
        "request-timeout": 20,
        "continue-on-failure": True,
        "generation.max-examples": cases,
        "generation.no-shrink": True,
        "generation.with-security-parameters": False,
        "generation.database": "none",
        "checks.positive_data_acceptance.expected-statuses": _FITS,
        "checks.negative_data_rejection.expected-statuses": _DOES_NOT_FIT,
        'parameters."path.workspaceId"': world.tenant.workspace,
    }
    for name, example in catalogue.in_paths().items():
        if name != "workspaceId":
            settings |= {
                f"dictionaries.{name}.values": [world.real(example)],
                f'parameters."path.{name}".dictionary': name,
                f'parameters."path.{name}".probability': 0.7,
            }
    tables = [settings]
    tables += [{"include-name": f"{each.method} {each.shown_path}", **await _session(world)} for each in _SIGNED_IN]
    for each in _TAKE_ANYTHING:
        enabled = "checks.negative_data_rejection.enabled"
        tables.append({"include-name": f"{each.method} {each.shown_path}", enabled: False})
    path = folder / "schemathesis.toml"
    path.write_text("\n[[operations]]\n".join(_table(table) for table in tables))
    return path


async def _session(world: World) -> dict[str, str]:
    """The headers of a session of its own: one may end it."""
    (sign_in,) = (each for each in OPERATIONS if each.path == "/api/auth/sign-in")
    example = world.real(example_of(sign_in).request)
    async with browser(str(world.tenant.root.base_url)) as person:
        assert (await person.sign_in(example["email"], example["password"])).status_code == 200
        cookies = "; ".join(f"{name}={value}" for name, value in person.cookies.items())
        return {"headers.Cookie": cookies, "headers.X-CSRF-Token": person.headers["X-CSRF-Token"]}


def _table(values: Mapping[str, Any]) -> str:
    """Scalars and lists by dotted keys, as TOML, which writes them as JSON does."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


async def fuzz(folder: Path, database_url: str, redis_url: str, *, cases: int, seconds: int, phases: str) -> int:
    """Run it for at most ``seconds``; the number of cases. Raises AssertionError with what was found."""
    async with server(folder, database_url, redis_url) as api:
        world = World(await api.tenant())
        (key,) = (await world.tenant.get("/keys"))["data"]
        settings = await prepare(folder, world, cases)
        report = await _run(settings, f"{api.url}/openapi.json", key["id"], phases, seconds)
        # A key that lost its scopes on the way would have made most of it a test of the answer 403.
        assert (await world.tenant.get(f"/keys/{key['id']}"))["scopes"] == key["scopes"]
    found = _GENERATED.search(report)
    assert found, report
    return int(found[1])


async def _run(settings: Path, url: str, key: str, phases: str, seconds: int) -> str:
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run", url]
    process = await asyncio.create_subprocess_exec(
        *command,
        # All checks are on by themselves; to name them would overrule what the settings say of single operations.
        *("--phases", phases, "--warnings", "off", "--no-color"),
        cwd=ROOT,
        env=os.environ | {KEY_VARIABLE: key},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=die_with_parent,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), seconds)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    report = output.decode(errors="replace")
    assert process.returncode == 0, report
    return report
