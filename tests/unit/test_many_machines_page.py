"""That ``docs/many-machines.md`` says what is so of times, limits and names; ``make namespaces`` runs its blocks."""

import re
from pathlib import Path

from tests.faults import walk_through
from wireroom.settings import KNOWN
from worker import leases, watching

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
PAGE = walk_through.PAGE.read_text()


def test_each_machine_has_its_address_and_units_that_there_are() -> None:
    addresses = walk_through.addresses()
    assert len(set(addresses.values())) == len(addresses) == 8
    for unit in re.findall(r"`(wireroom-[a-z]+)(@?)\d?`", PAGE):
        assert (UNITS / f"{unit[0]}{unit[1]}.service").exists()
    assert set(re.findall(r"10\.77\.0\.[1-9]\d?\b", PAGE)) == set(addresses.values())


def test_its_settings_are_known_and_lead_to_these_machines() -> None:
    addresses = walk_through.addresses()
    settings = walk_through.settings("/etc/wireroom.env")
    settings |= walk_through.settings("/etc/wireroom.env on `api`, beside the others")
    assert settings.keys() <= KNOWN
    for name, machine in (
        ("WIREROOM_DATABASE_URL", "database"),
        ("WIREROOM_REDIS_URL", "broker"),
        ("WIREROOM_BIND", "api"),
        ("WIREROOM_SMTP_URL", "mail"),
        ("WIREROOM_WEBHOOK_ALLOW_NETS", "web"),
    ):
        assert addresses[machine] in settings[name]


def test_its_times_are_those_of_the_lease() -> None:
    lasts, left, still = (round(each) for each in (leases.LEASE_S, leases.MARGIN_S, watching._STILL_S))
    said = " ".join(PAGE.split())
    assert f"{lasts - left} s later at most they begin nothing more" in said
    assert f"for {lasts} s at least" in said
    assert f"seen for {still} s without a break" in said


def test_its_divisions_are_right() -> None:
    found = re.findall(r"([\d,]+) / ([\d,]+) ≈ (\d+)", PAGE)
    assert len(found) == 4
    for dividend, divisor, quotient in found:
        assert round(int(dividend.replace(",", "")) / int(divisor.replace(",", ""))) == int(quotient)
