"""Whether a person or a program asked for a link of ours."""

from collections.abc import Mapping
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api_shim import networks
from models import hits
from models.evidence import HitSignal
from models.hits import Hit, Seen
from models.ids import new_id
from tests.support.readers import BROWSER, GOOGLES_PROXY, MAIL_PROGRAM

SENT = 1_800_000_000_000
LONG_AFTER = SENT + 3_600_000


def signals(headers: Mapping[str, str], *, is_picture: bool = False) -> list[str]:
    usual = {name.lower(): value for name, value in (MAIL_PROGRAM if is_picture else BROWSER).items()}
    given_headers = {**usual, **headers}
    return [each.value for each in hits.signals_of(given_headers, is_picture=is_picture)]


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, []),
        ({"sec-purpose": "prefetch;prerender"}, ["prefetch"]),
        ({"purpose": "Prefetch"}, ["prefetch"]),
        ({"x-moz": "prefetch"}, ["prefetch"]),
        ({"x-purpose": "preview"}, ["prefetch"]),
        ({"accept": "*/*"}, ["no-page"]),
        ({"accept-language": ""}, ["no-language"]),
        ({"accept": "", "accept-language": ""}, ["no-page", "no-language"]),
    ],
)
def test_what_a_request_for_a_page_shows(headers: dict[str, str], wanted: list[str]) -> None:
    assert signals(headers) == wanted


@pytest.mark.parametrize(
    ("agent", "wanted"),
    [
        ("", "no-agent"),
        ("  ", "no-agent"),
        ("python-requests/2.32.3", "library"),
        ("curl/8.5.0", "library"),
        ("Go-http-client/2.0", "library"),
        ("Java/17.0.2", "library"),
        ("Wget/1.21", "library"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/120.0.0.0 Safari/537.36", "headless"),
        ("Mozilla/5.0 (Barracuda Sentinel EE)", "scanner"),
        ("Mozilla/5.0 (compatible; proofpoint URL Defense)", "scanner"),
        ("Mimecast-Url-Protect/1.0", "scanner"),
        ("CiscoSecureEmail", "scanner"),
        ("IronPort", "scanner"),
        ("TMES/1.0", "scanner"),
        ("FortiMail", "scanner"),
        ("Sophos Email Scanner", "scanner"),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "scanner"),
        ("TelegramBot (like TwitterBot)", "scanner"),
        ("Mozilla/5.0 (compatible; bingbot/2.0)", "scanner"),
        ("Microsoft Office Existence Discovery", "scanner"),
        ("WhatsApp/2.23.20 A", "scanner"),
    ],
)
def test_programs_that_say_so(agent: str, wanted: str) -> None:
    assert signals({"user-agent": agent}) == [wanted]
    assert hits.verdict_of(Seen(0, (HitSignal(wanted),))).machine


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1",
        "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Linux; Android 13; Scandic) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
        "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)",
        "Opera/9.80 (Windows NT 6.1; WOW64) Presto/2.12.388 Version/12.18",
    ],
)
def test_people_are_people(agent: str) -> None:
    assert signals({"user-agent": agent}) == signals({"user-agent": agent}, is_picture=True) == []


@pytest.mark.parametrize(
    ("agent", "wanted", "machine"),
    [
        (GOOGLES_PROXY["User-Agent"], ["proxy"], False),
        ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", ["proxy"], False),
        ("Mozilla/5.0", ["apple-prefetch"], True),
        ("", ["no-agent"], True),
        ("Mozilla/5.0 (compatible; proofpoint)", ["scanner"], True),
    ],
)
def test_who_asks_for_the_picture(agent: str, wanted: list[str], machine: bool) -> None:
    """A mail program says neither what it takes nor a language; that alone tells nothing."""
    assert signals({"user-agent": agent, "accept": "", "accept-language": ""}, is_picture=True) == wanted
    seen = Seen(None, tuple(HitSignal(each) for each in wanted))
    (verdict,) = hits.verdicts([Hit(new_id(), LONG_AFTER, seen)], [SENT]).values()
    assert (verdict.machine, verdict.reason) == (machine, wanted[0])


def test_a_proxy_for_pictures_follows_no_links() -> None:
    assert signals({"user-agent": "YahooMailProxy"}) == []
    assert signals({"user-agent": "Mozilla/5.0"}) == []


@pytest.mark.parametrize(
    ("after_ms", "seen", "machine", "reason"),
    [
        (0, (), True, "at-once"),
        (2_000, (), True, "at-once"),
        (-5, (), True, "at-once"),
        (2_001, (), False, "soon"),
        (10_000, (), False, "soon"),
        (10_001, (), False, None),
        (2_001, ("no-language",), True, "no-language, soon"),
        (10_001, ("no-language",), False, "no-language"),
        (10_001, ("no-language", "no-page"), True, "no-page, no-language"),
        (10_001, ("no-page", "no-page"), False, "no-page"),
        (1_000, ("proxy",), False, "proxy, at-once"),
        (10_001, ("network",), True, "network"),
    ],
)
def test_signals_add_up(after_ms: int, seen: tuple[str, ...], machine: bool, reason: str | None) -> None:
    hit = Hit(new_id(), SENT + after_ms, Seen(0, tuple(HitSignal(each) for each in seen)))
    assert hits.verdicts([hit], [SENT])[hit.id] == (machine, reason)


def test_the_last_send_before_it_counts() -> None:
    hit = Hit(new_id(), SENT + 60_000, Seen(0))
    assert not hits.verdicts([hit], [])[hit.id].machine
    assert not hits.verdicts([hit], [SENT, SENT + 90_000])[hit.id].machine
    assert hits.verdicts([hit], [SENT, SENT + 59_000])[hit.id].machine


def test_a_networks_name_is_its_reason() -> None:
    assert hits.verdict_of(Seen(0, (HitSignal.NETWORK,), "office filter")) == (True, "network office filter")


@pytest.mark.parametrize(
    ("followed", "machines"),
    [
        ([(0, 0), (1, 500), (2, 2_000)], {0, 1, 2}),
        ([(0, 0), (1, 500), (2, 2_001)], set()),
        ([(0, 0), (0, 100), (1, 200), (1, 300)], set()),
        ([(0, 0), (1, 1_500), (2, 3_000), (3, 3_400)], {1, 2, 3}),
        ([(0, 0), (1, 1), (2, 2), (3, 60_000)], {0, 1, 2}),
        ([(0, 0), (None, 100), (1, 200)], set()),
        ([(None, 100), (0, 0), (1, 200), (2, 300), (None, 9_000)], {0, 1, 2, 3}),
        ([(0, 0), (1, 10), (0, 2_500), (2, 2_600), (3, 4_400)], {2, 3, 4}),
    ],
)
def test_who_follows_many_links_at_once_is_no_person(
    followed: list[tuple[int | None, int]], machines: set[int]
) -> None:
    asked = [Hit(UUID(int=place), LONG_AFTER + ms, Seen(link)) for place, (link, ms) in enumerate(followed)]
    found = hits.verdicts(asked, [SENT])
    assert {each.id.int for each in asked if found[each.id].machine} == machines
    assert {verdict.reason for verdict in found.values() if verdict.machine} <= {"burst"}


seen_things = st.builds(
    Seen,
    link=st.none() | st.integers(0, 5),
    signals=st.lists(st.sampled_from(HitSignal), max_size=3).map(tuple),
)
histories = st.lists(st.tuples(st.integers(0, 15_000), seen_things), max_size=25).map(
    lambda rows: [Hit(UUID(int=place), SENT + after, seen) for place, (after, seen) in enumerate(rows)]
)


@settings(max_examples=300)
@given(histories.flatmap(lambda each: st.tuples(st.just(each), st.permutations(each * 2))), st.integers(0, 5))
def test_order_and_repetition_do_not_matter(runs: tuple[list[Hit], list[Hit]], sends: int) -> None:
    asked, again = runs
    sent = [SENT + 1_000 * number for number in range(sends)]
    assert hits.verdicts(again, sent[::-1]) == hits.verdicts(asked, sent)


@given(histories)
def test_a_burst_is_what_a_plain_look_finds(asked: list[Hit]) -> None:
    burst = set()
    for start in asked:
        window = [each for each in asked if 0 <= each.at - start.at <= hits.BURST_MS]
        if len({each.seen.link for each in window} - {None}) >= 3:
            burst |= {each.id for each in window}
    found = hits.verdicts(asked, [])
    assert {each.id for each in asked if "burst" in (found[each.id].reason or "").split(", ")} - burst <= {
        each.id for each in asked if HitSignal.BURST in each.seen.signals
    }
    assert all("burst" in (found[each].reason or "") for each in burst)


@given(seen_things)
def test_what_is_kept_is_read_again(seen: Seen) -> None:
    assert hits.read(hits.keep(seen)) == seen


def test_of_the_erased_nothing_is_kept() -> None:
    assert hits.read(b"") == Seen()


def test_networks_have_names_or_none() -> None:
    nets = networks.parse(" office filter = 192.0.2.0/24 , 2001:db8::/32,192.0.2.128/25")
    assert [each.name for each in nets] == ["office filter", "", ""]
    for host, name in {"192.0.2.200": "office filter", "2001:db8::1": "", "::ffff:192.0.2.1": "office filter"}.items():
        found = networks.containing(nets, host)
        assert found is not None
        assert found.name == name
    for host in ("192.0.3.1", "testclient", ""):
        assert networks.containing(nets, host) is None
    assert networks.containing((), "192.0.2.1") is None
