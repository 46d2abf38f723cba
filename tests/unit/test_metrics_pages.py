"""The page, the dashboard and the alerts speak of metrics that there are, by labels that they have."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.exposed import everything

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "metrics.md"
ALERTS: Final = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "wireroom.json"
NAME: Final = re.compile(r"\b((?:wireroom|process)_[a-z_]+)\b(?:\{([^}]*)\})?")
PROMTOOL: Final = shutil.which("promtool")


def labels() -> Mapping[str, set[str]]:
    """The labels of every sample, by its name."""
    found: dict[str, set[str]] = {}
    for sample in everything().samples:
        found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> Iterator[str]:
    """All that is asked of Prometheus, in the alerts and on the dashboard."""
    yield from re.findall(r"expr: (\|\n(?: {10,}.*\n)+|.*\n)", ALERTS.read_text())
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))


def test_all_that_is_asked_for_is_there() -> None:
    known = labels()
    asked = list(expressions())
    assert len(asked) > 50
    for expression in asked:
        for name, matchers in NAME.findall(expression):
            assert name in known, expression
            assert set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\"", matchers)) <= known[name], expression


def test_what_is_grouped_by_is_a_label_of_what_is_grouped() -> None:
    known = {**labels(), "up": {"job", "instance"}}
    for expression in expressions():
        names = [name for name in known if re.search(rf"\b{name}\b", expression)]
        assert names, expression
        given = set().union(*(known[name] for name in names)) | {"instance"}
        for group in re.findall(r"(?:by|on|group_left) \(([^)]*)\)", expression):
            assert set(filter(None, group.split(", "))) <= given, expression


def test_words_in_matchers_are_words_that_are_used() -> None:
    words = (ROOT / "models" / "vocabulary.py").read_text() + (ROOT / "worker" / "telemetry.py").read_text()
    words += (ROOT / "models" / "faults.py").read_text() + (ROOT / "api_shim" / "metrics.py").read_text()
    words += (ROOT / "worker" / "keeper.py").read_text()
    own = [(name, matchers) for expression in expressions() for name, matchers in NAME.findall(expression) if matchers]
    assert own
    for _, matchers in own:
        for label, value in re.findall(r"(\w+)(?:=|!=|=~|!~)\"([^\"]*)\"", matchers):
            if label != "route" and not value.startswith("5"):
                assert all(f'"{word}"' in words for word in value.split("|")), matchers


def test_the_page_tells_of_every_metric_and_of_no_other() -> None:
    exported = {name for name in everything().families if not name.startswith("process_")}
    counters = {name for name, family in everything().families.items() if family.type == "counter"}
    exported = {f"{name}_total" if name in counters else name for name in exported}
    text = PAGE.read_text()
    told = set(re.findall(r"wireroom_[a-z_]+", text))
    assert told == exported
    tabled = dict(re.findall(r"^\| `(wireroom_\w+)` \| ((?:`\w+`(?:, )?)*) ?\| ", text, re.MULTILINE))
    assert set(tabled) == exported - {"wireroom_build_info"}
    known = labels()
    for name, given in tabled.items():
        sample = name if name in known else f"{name}_sum"
        assert set(re.findall(r"`(\w+)`", given)) == known[sample] - {"le"}, name
    assert {f"process_{name}" for name in re.findall(r"`process_(\w+)`", text)} <= set(known)


def test_the_dashboard_can_be_imported() -> None:
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert dashboard["templating"]["list"][0]["type"] == "datasource"  # none of somebody's own
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["targets"]
    cells = [
        (p["gridPos"]["x"] + x, p["gridPos"]["y"] + y)
        for p in panels
        for x in range(p["gridPos"]["w"])
        for y in range(p["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)


def test_each_alert_is_told_and_graded() -> None:
    text = ALERTS.read_text()
    alerts = re.findall(r"- alert: (\w+)", text)
    assert len(alerts) == len(set(alerts)) == len(re.findall(r"severity: (?:page|ticket)\}", text))
    assert len(alerts) == len(re.findall(r"summary: ", text))


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool: sh tools/peers.sh installs one")
@pytest.mark.parametrize(
    "command",
    [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml"), ("check", "config", "prometheus.yml")],
    ids=" ".join,
)
def test_prometheus_takes_them(command: tuple[str, ...]) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *command], cwd=ALERTS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
