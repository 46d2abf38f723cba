"""That what ``deploy/`` starts is what there is: commands, variables, probes, versions, and the time to end in."""

import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import typer

from api_shim.app import create_app, server_config
from api_shim.routing import OPERATIONS
from api_shim.settings import ApiSettings
from channels.settings import ChannelSettings
from models.settings import StorageSettings
from models.vocabulary import Lane
from tests.support import procfile
from wireroom import cli
from wireroom.settings import KNOWN
from wireroom.up import API, KEEPER, worker_service

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
UNITS: Final = DEPLOY / "systemd"
COMMON: Final = UNITS / "wireroom-.service.d" / "common.conf"
PROJECT: Final[Mapping[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMAGE: Final = f"wireroom:{PROJECT['project']['version']}"
PROCESSES: Final = {name: words for name, words in procfile.processes().items() if name != "broker"}
OTHERS_VARIABLES: Final = {"FORWARDED_ALLOW_IPS", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}
PREFIX: Final = "/opt/wireroom/.venv/bin/"


def documents(path: Path) -> list[Any]:
    """What a file of YAML holds: msgspec reads one document at a time."""
    return [msgspec.yaml.decode(text) for text in path.read_text().split("\n---\n")]


COMPOSE: Final[Mapping[str, Any]] = documents(DEPLOY / "compose.yaml")[0]
MANIFESTS: Final = [each for path in sorted((DEPLOY / "kubernetes").rglob("*.yaml")) for each in documents(path)]
PODS: Final = {
    each["metadata"]["name"]: each["spec"]["template"] for each in MANIFESTS if "template" in each.get("spec", {})
}


def of_kind(kind: str) -> list[Any]:
    return [each for each in MANIFESTS if each["kind"] == kind]


def directives(path: Path) -> dict[str, list[str]]:
    """What a unit's file says, by the directive."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def container(name: str) -> Any:
    (only,) = PODS[f"wireroom-{name}"]["spec"]["containers"]
    return only


def drains() -> dict[str, float]:
    """Seconds that each process may take to end."""
    app = create_app(ApiSettings.read({}), StorageSettings.read({}), ChannelSettings.read({}))
    waits = server_config(app, ApiSettings.read({})).timeout_graceful_shutdown or 0
    worker = worker_service(1).drain_s
    assert waits < API.drain_s  # or `wireroom up` would kill an API that still finishes its requests
    return {"api": API.drain_s, "keeper": KEEPER.drain_s, "worker": worker, "bulk": worker}


DRAINS: Final = drains()


def words_of(command: str | Sequence[str]) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else list(command)


def is_ours(words: Sequence[str]) -> bool:
    """Whether the command line has such a command."""
    known = typer.main.get_command(cli.app)
    return words[0] == "wireroom" and words[1] in getattr(known, "commands", {})


@pytest.mark.parametrize("name", PROCESSES)
def test_each_process_is_started_as_procfile_does(name: str) -> None:
    unit = next(
        path for path in (UNITS / f"wireroom-{name}.service", UNITS / f"wireroom-{name}@.service") if path.exists()
    )
    (start,) = directives(unit)["ExecStart"]
    assert start.startswith(PREFIX)
    assert shlex.split(start.removeprefix(PREFIX)) == PROCESSES[name]
    assert words_of(COMPOSE["services"][name]["command"]) == PROCESSES[name]
    assert container(name)["command"] == PROCESSES[name]


def test_the_other_commands_are_there() -> None:
    (up,) = directives(UNITS / "wireroom.service")["ExecStart"]
    (migrate,) = directives(UNITS / "wireroom-migrate.service")["ExecStart"]
    (image,) = re.findall(r"^CMD (.+)$", (DEPLOY / "Dockerfile").read_text(), re.M)
    commands = [
        *(words_of(each.removeprefix(PREFIX)) for each in (up, migrate)),
        msgspec.json.decode(image),
        words_of(COMPOSE["services"]["migrate"]["command"]),
        container("migrate")["command"],
    ]
    assert all(is_ours(command) for command in commands), commands
    assert len(PODS) == len(PROCESSES) + 1


@pytest.mark.parametrize("name", PROCESSES)
def test_each_process_has_the_time_to_finish_what_it_does(name: str) -> None:
    unit = next(UNITS.glob(f"wireroom-{name}*.service"))
    pod = PODS[f"wireroom-{name}"]["spec"]
    before = container(name).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert int(directives(unit)["TimeoutStopSec"][0]) > DRAINS[name]
    assert int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")) > DRAINS[name]
    assert pod["terminationGracePeriodSeconds"] > DRAINS[name] + before


def test_all_on_one_machine_have_the_time_to_end_one_after_the_other() -> None:
    told = re.search(r"(\d+) s at most", (UNITS / "wireroom.service").read_text())
    broker = 10
    needed = API.drain_s + worker_service(1).drain_s + KEEPER.drain_s + broker
    assert told is not None
    assert int(told[1]) == needed < int(directives(UNITS / "wireroom.service")["TimeoutStopSec"][0])


@pytest.mark.parametrize("unit", ["wireroom.service", "wireroom-worker@.service", "wireroom-bulk@.service"])
def test_a_worker_gets_its_signal_from_its_master_alone(unit: str) -> None:
    assert directives(UNITS / unit)["KillMode"] == ["mixed"]


def test_one_machine_is_as_closed_as_many() -> None:
    alone, common = directives(UNITS / "wireroom.service"), directives(COMMON)
    assert common.pop("EnvironmentFile") == ["/etc/wireroom.env"]
    assert {name: alone[name] for name in common} == common


def variables() -> Iterator[str]:
    for path in (*UNITS.rglob("*.*"), DEPLOY / "Dockerfile", DEPLOY / "compose.yaml", DEPLOY / "compose.env.example"):
        if path.is_file():
            text = re.sub(r"(?m)^\s*#.*", "", path.read_text())
            yield from re.findall(r"\b(?:WIREROOM|POSTGRES|FORWARDED)_[A-Z_]+", text)
    for settings in of_kind("ConfigMap"):
        yield from settings["data"]


def test_every_variable_is_read() -> None:
    assert set(variables()) <= KNOWN | OTHERS_VARIABLES
    told = re.findall(r"WIREROOM_[A-Z_]+", (DEPLOY / "README.md").read_text())
    assert set(told) <= KNOWN


def test_what_compose_insists_on_is_in_the_example() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", (DEPLOY / "compose.yaml").read_text()))
    given = set(re.findall(r"^([A-Z_]+)=", (DEPLOY / "compose.env.example").read_text(), re.M))
    assert asked <= given


def test_images_have_a_version() -> None:
    compose = [each["image"] for each in COMPOSE["services"].values()]
    pods = [each["image"] for pod in PODS.values() for each in pod["spec"]["containers"]]
    bases = re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.M)
    assert set(pods) == {IMAGE} <= set(compose)
    assert f"--tag {IMAGE} " in (DEPLOY / "Dockerfile").read_text()
    assert all(re.search(r":\d+\.\d+(\.\d+)?(-|$)", image) for image in (*compose, *bases)), (compose, bases)
    assert len(set(bases)) == 1


def test_the_image_is_made_of_what_the_wheel_is_and_runs_as_nobody() -> None:
    taken = set(re.findall(r"^!(\S+)", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.M))
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert taken == {*wheel, "pyproject.toml", "requirements.lock", PROJECT["project"]["readme"], "LICENSE"}
    (user,) = re.findall(r"^USER (\d+):\d+$", (DEPLOY / "Dockerfile").read_text(), re.M)
    for pod in PODS.values():
        assert pod["spec"]["securityContext"]["runAsUser"] == int(user) > 0
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        assert all(each["securityContext"]["readOnlyRootFilesystem"] for each in pod["spec"]["containers"])


def test_probes_ask_what_is_answered() -> None:
    api = container("api")
    (port,) = api["ports"]
    paths = {operation.path for operation in OPERATIONS if operation.method == "GET"}
    probes = [api[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert {probe["path"] for probe in probes} == {"/health/live", "/health/ready"} <= paths
    assert {probe["port"] for probe in probes} == {port["name"]}
    (settings,) = of_kind("ConfigMap")
    assert settings["data"]["WIREROOM_BIND"].endswith(f":{port['containerPort']}")
    check = " ".join(COMPOSE["services"]["api"]["healthcheck"]["test"])
    assert "127.0.0.1:8080/health/ready" in check
    assert "WIREROOM_BIND=0.0.0.0:8080" in (DEPLOY / "Dockerfile").read_text()


def test_names_lead_somewhere() -> None:
    labels = {pod["metadata"]["labels"]["app"]: name for name, pod in PODS.items() if "metadata" in pod}
    assert all(label == name for label, name in labels.items())
    for each in (*of_kind("PodDisruptionBudget"), *of_kind("Deployment")):
        assert each["spec"]["selector"]["matchLabels"]["app"] == each["metadata"]["name"] in labels
    assert [each["spec"]["selector"]["app"] for each in of_kind("Service")] == ["wireroom-api"]
    assert len(of_kind("PodDisruptionBudget")) == len(PROCESSES)
    for kustomization in (DEPLOY / "kubernetes").rglob("kustomization.yaml"):
        (read,) = documents(kustomization)
        assert all((kustomization.parent / resource).exists() for resource in read["resources"])


def test_workers_are_scaled_by_the_lane_that_they_serve() -> None:
    lanes = {}
    for scaled in of_kind("ScaledObject"):
        (trigger,) = scaled["spec"]["triggers"]
        (lane,) = re.findall(
            r'^max\(wireroom_oldest_ready_age_seconds\{lane="(\w+)"\}\)$', trigger["metadata"]["query"]
        )
        lanes[scaled["spec"]["scaleTargetRef"]["name"]] = Lane(lane)
    assert lanes == {"wireroom-worker": Lane.TRANSACTIONAL, "wireroom-bulk": Lane.BULK}


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder)
    for unit in folder.glob("*.service"):
        unit.write_text(re.sub(rf"{PREFIX}\w+", "/bin/sh", unit.read_text()))  # any program that is there
    names = [each.name.replace("@.", "@1.") for each in folder.iterdir() if each.is_file()]
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names],
        cwd=folder,
        env={"SYSTEMD_UNIT_PATH": f"{folder}:", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.stdout + said.stderr, said.returncode) == ("", 0)
