"""Whose fault it is: no reason is forgotten, and what arrived is nobody's."""

import pytest

from models.faults import FAULTS, REPORTED, Fault, fault_of, reason_of
from models.vocabulary import FailureReason, Status


def test_every_reason_is_somebodys_fault_and_everybody_has_one() -> None:
    assert set(FAULTS) == set(FailureReason)
    assert set(FAULTS.values()) == set(Fault)


@pytest.mark.parametrize("status", Status)
def test_only_what_did_not_arrive_has_a_fault(status: Status) -> None:
    undelivered = status in (Status.FAILED, Status.BOUNCED)
    for reason in (None, *FailureReason):
        assert (fault_of(status, reason) is not None) == undelivered
        assert (reason_of(status, reason) is not None) == undelivered


def test_a_reason_of_ours_speaks_before_what_was_reported() -> None:
    assert fault_of(Status.BOUNCED, FailureReason.POLICY) is Fault.OURS
    assert fault_of(Status.BOUNCED, None) is Fault.RECEIVER
    assert fault_of(Status.FAILED, None) is Fault.OURS
    assert {reason_of(status, None) for status in REPORTED} == set(REPORTED.values())
