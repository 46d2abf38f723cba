import pytest

from tests.support.ordering import spread


@pytest.mark.parametrize(("patient", "busy"), [(225, 2_150), (1, 10), (10, 1), (7, 0), (0, 7), (0, 0)])
def test_nobody_is_left_out_or_overtakes_those_of_the_same_kind(patient: int, busy: int) -> None:
    ordered = spread([f"p{number}" for number in range(patient)], [f"b{number}" for number in range(busy)], until=0.9)
    assert [each for each in ordered if each[0] == "p"] == [f"p{number}" for number in range(patient)]
    assert [each for each in ordered if each[0] == "b"] == [f"b{number}" for number in range(busy)]


def test_those_who_wait_come_one_by_one_and_not_at_the_end() -> None:
    ordered = "".join(spread("p" * 20, "b" * 200, until=0.9))
    runs = ordered.split("p")
    assert max(map(len, runs[1:-1])) <= 9
    assert min(map(len, runs[1:-1])) >= 8
    assert len(runs[-1]) >= 20
