"""``make audit``: known vulnerabilities, dangerous code, licences and secrets.

It ends 0 where all of it is well, 1 where something was found, 3 where nothing was, but the advisory service could
not be asked, so that nobody knows. (make makes 2 of both.)
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final

from models.secrets import is_token

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = "requirements.lock"
_DANGER: Final = re.compile(r": S\d+ ")
_GUESSING: Final = (
    *("BasicAuthDetector", "Base64HighEntropyString", "HexHighEntropyString"),
    *("IPPublicDetector", "KeywordDetector"),
)
_HASHES: Final = r"(package-lock\.json|requirements\.(txt|lock))$"

WELL: Final = 0
FOUND: Final = 1
UNKNOWN: Final = 3

_NAMED: Final = 5


def main() -> int:
    """Do every part, say what each found, and end by the worst."""
    return worst([part() for part in (vulnerabilities, code, licences, secrets)])


def worst(ends: Sequence[int]) -> int:
    """The worst of several ends: something found is worse than something unknown."""
    return FOUND if FOUND in ends else max(ends)


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)


def _say(part: str, found: Sequence[str], well: str) -> int:
    print(f"{part}: {well if not found else f'{len(found)} found'}")
    for each in found:
        print(f"  {each}")
    return FOUND if found else WELL


# --- Known vulnerabilities


def vulnerabilities() -> int:
    """Whether an advisory stands against any locked version; says so where the service cannot be asked."""
    asked = _run("pip_audit", "--requirement", LOCK, "--disable-pip", "--format", "json", "--progress-spinner", "off")
    return judged(asked.stdout, asked.stderr)


def judged(report_or_not: str, said_beside: str) -> int:
    """The end by what pip-audit wrote to its standard output, a report or nothing, and to its standard error."""
    try:
        report = json.loads(report_or_not)
    except ValueError:
        said = (said_beside.strip().splitlines() or ["it said nothing"])[-1]
        print(f"vulnerabilities: NOT CHECKED, the advisory service gave no answer: {said}")
        return UNKNOWN
    # pip-audit itself ends 0 here: an index without advisories is to it an index without packages.
    skipped = [each["name"] for each in report["dependencies"] if "skip_reason" in each]
    found, number = list(advisories(report)), len(report["dependencies"])
    if skipped:
        named = ", ".join(skipped[:_NAMED]) + (" …" if len(skipped) > _NAMED else "")
        print(
            f"vulnerabilities: NOT CHECKED for {len(skipped)} of {number}, the advisory service knows none of: {named}"
        )
    if found or not skipped:
        return _say("vulnerabilities", found, f"none known of {number} packages")
    return UNKNOWN


def advisories(report: Any) -> Iterator[str]:
    """A line for each advisory of pip-audit's report."""
    for package in report["dependencies"]:
        for each in package.get("vulns", ()):
            mended = ", ".join(each["fix_versions"]) or "no version"
            yield f"{package['name']} {package['version']}: {each['id']}, mended in {mended}"


# --- Dangerous code


def code() -> int:
    """What ruff's rules of flake8-bandit say; exceptions stand with their reasons in ``pyproject.toml``."""
    checked = _run("ruff", "check", "--output-format", "concise", "--quiet", ".")
    if checked.returncode not in (0, 1):
        return _say("dangerous code", [f"ruff ended {checked.returncode}: {checked.stderr[-300:]}"], "")
    return _say("dangerous code", [line for line in checked.stdout.splitlines() if _DANGER.search(line)], "none found")


# --- Licences


def licences() -> int:
    """Which installed packages of the lock have a licence that is not among those that are allowed."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["audit"]
    allowed, excepted = frozenset(settings["licences"]), settings["excepted"]
    locked = locked_names((ROOT / LOCK).read_text(encoding="utf-8"))
    installed = {normal(each.name): each for each in distributions()}
    present = sorted(locked & installed.keys())
    wrong = [
        f"{name}: {said}"
        for name in present
        if name not in excepted and not is_allowed(said := licence_of(installed[name]), allowed)
    ]
    wrong += [f"{name}: excepted in pyproject.toml, and not locked" for name in sorted(excepted.keys() - locked)]
    well = f"all of {len(present)} packages are allowed, {len(excepted)} by exception"
    return _say("licences", wrong, f"{well}; {len(locked) - len(present)} are not for this machine")


def normal(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return name.lower().replace("_", "-").replace(".", "-")


def locked_names(lock: str) -> frozenset[str]:
    """The packages of a lock."""
    return frozenset(normal(line.partition("==")[0]) for line in lock.splitlines() if "==" in line and line[0] != " ")


def licence_of(package: Distribution) -> str:
    """What a package says of its licence: the expression (PEP 639), else its classifiers, else its words."""
    said = package.metadata
    classified = [
        each.rpartition(" :: ")[2]
        for each in said.get_all("Classifier", [])
        if each.startswith("License :: OSI Approved :: ")
    ]
    words = (said.get("License") or "").strip().partition("\n")[0]
    return said.get("License-Expression") or " AND ".join(classified) or words or "says nothing"


def is_allowed(said: str, allowed: frozenset[str]) -> bool:
    """Whether the licence will do: one of those joined by OR, all of those joined by AND (no parentheses)."""
    if said in allowed:
        return True
    choices = [[each.strip(" ()") for each in choice.split(" AND ")] for choice in said.split(" OR ")]
    return any(all(each in allowed for each in together) for together in choices)


# --- Secrets


def secrets() -> int:
    """What looks like somebody's secret in a file that git knows, and which of our own tokens are real.

    Of the detectors those that know a form: long words and the word "password" stand all over the tests. A line that is
    none says so: ``pragma: allowlist secret``.
    """
    off = [argument for name in _GUESSING for argument in ("--disable-plugin", name)]
    scanned = _run("detect_secrets", "scan", *off, "--exclude-files", _HASHES)
    try:
        results = json.loads(scanned.stdout)["results"]
    except (ValueError, KeyError):
        results = {"detect-secrets": [{"type": f"ended without a report: {scanned.stderr[-300:]}", "line_number": 0}]}
    found = [f"{name}:{each['line_number']}: {each['type']}" for name, of in results.items() for each in of]
    return _say("secrets", found + list(own_tokens(ROOT)), "none found")


def own_tokens(folder: Path) -> Iterator[str]:
    """Where files hold a key of Wireroom's or a session: by their checksum those of examples are none."""
    listing = ["git", "grep", "-nIoE", r"wr_(live|test|sess)_[A-Za-z0-9_-]{49}"]
    for line in subprocess.run(listing, cwd=folder, capture_output=True, text=True, check=False).stdout.splitlines():
        place, _, token = line.rpartition(":")
        if is_token(token, token[: len("wr_live_")]):
            yield f"{place}: a key of Wireroom's, or a session"


if __name__ == "__main__":
    sys.exit(main())
