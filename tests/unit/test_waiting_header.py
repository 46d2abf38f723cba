"""``Prefer: wait=N`` as RFC 7240 writes it."""

import time

import pytest

from api_shim.waiting import asked


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        (["wait=10"], 10),
        (["Wait = 10"], 10),
        (["respond-async, wait=10"], 10),
        (["respond-async,wait=10,"], 10),
        (['return=minimal; foo="a, wait=3", wait=7'], 7),
        (['wait=5; why="so\\"on"'], 5),
        (["wait=5;"], 5),
        ([", ,wait=5"], 5),
        (["respond-async", "wait=4"], 4),
        (["wait=4, wait=9"], 4),
        (["wait=4", "wait=9"], 4),
        (["wait=010"], 10),
        (["wait=30"], 30),
        (["wait=31"], 30),
        (["wait=99"], 30),
        (["wait=" + "9" * 100_000], 30),
        (["wait=" + "0" * 100_000 + "9"], 9),
        (["wait=0"], None),
        (["wait=000"], None),
        (["wait"], None),
        (["wait="], None),
        (["wait=-1"], None),
        (["wait=+1"], None),
        (["wait=1.5"], None),
        (["wait=1e1"], None),
        (["wait=5s"], None),
        (['wait="10"'], None),
        (["wait=\u0665"], None),
        (["wait 5"], None),
        (["wait=5 s"], None),
        (['a="b, wait=5'], None),
        (["a=b=c, wait=5"], None),
        (["x-wait=5"], None),
        (["x; wait=5"], None),
        ([""], None),
    ],
)
def test_what_a_header_asks_for(headers: list[str], seconds: int | None) -> None:
    assert asked(headers) == seconds


@pytest.mark.parametrize("unit", ["a=", "a;", ";", " ", '"', 'a="\\', "a , ", "wait=", "\t=\t"])
def test_no_header_takes_long_to_read(unit: str) -> None:
    began = time.process_time()
    asked([unit * 20_000 + "\x00"])
    assert time.process_time() - began < 0.5
