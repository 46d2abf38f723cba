from uuid import UUID

import pytest

from api_shim.message_query import parse
from api_shim.problems import Problem
from models import ids
from models.ids import Kind
from models.store.message_views import MessageFilter
from models.vocabulary import Channel

# The same in every process, since they stand in names of tests.
CUSTOMER, JOURNEY, CAMPAIGN = UUID(int=1 << 100), UUID(int=2 << 100), UUID(int=3 << 100)


def test_every_key_and_word() -> None:
    query = (
        f"m:EMAIL cu:cust_{ids.encode(CUSTOMER)}  j:{ids.show(Kind.JOURNEY, JOURNEY)}"
        f' c:camp_{ids.encode(CAMPAIGN)} Spring "Big  Sale" - "10:30"'
    )
    assert parse(query) == MessageFilter(
        channel=Channel.EMAIL,
        contact_id=CUSTOMER,
        journey_id=JOURNEY,
        campaign_id=CAMPAIGN,
        phrases=(("spring",), ("big", "sale"), ("10", "30")),
    )


@pytest.mark.parametrize("query", ["", "   "])
def test_nothing_asked_for(query: str) -> None:
    assert parse(query) == MessageFilter()


@pytest.mark.parametrize(
    "query",
    ["cu:", "cu:x", f"cu:msg_{ids.encode(CUSTOMER)}", "m:EMAIL m:PUSH", f"c:camp_{ids.encode(CAMPAIGN)} c:cmp_1"],
)
def test_what_no_message_can_be(query: str) -> None:
    assert parse(query) is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("m:FAX", "m: must be one of EMAIL, PUSH, TELEGRAM, ONSITE, WEBHOOK"),
        ("m:", "m: must be one of"),
        ("cust:1", "unknown key cust: one of cu, j, c, m"),
        (":x", "unknown key"),
        ("k" * 500 + ":x", f"unknown key {'k' * 40}…:"),
        ('"open', "a quote is not closed"),
        ("% -", "a word of the subject has a letter or a digit"),
        ("a " * 21, "at most 20 terms"),
    ],
)
def test_what_it_says_of_a_bad_one(query: str, said: str) -> None:
    with pytest.raises(Problem) as caught:
        parse(query)
    (error,) = caught.value.body.errors
    assert error.parameter == "query"
    assert error.detail.startswith(said)
