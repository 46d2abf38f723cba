"""In which order tests run: quick answers first, then what waits long among what works all the time."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def spread(patient: Sequence[T], busy: Sequence[T], until: float) -> list[T]:
    """The patient in even steps among the first of the busy, each in the order given.

    ``until``: among which share of them; all would wait for a patient one that began last. Side by side the patient
    would leave the processors idle, and what comes after them would crowd there.
    """
    step = until * len(busy) / max(1, len(patient))
    places = [(number * step, each) for number, each in enumerate(patient)]
    places += [(float(number), each) for number, each in enumerate(busy)]
    return [each for _, each in sorted(places, key=lambda place: place[0])]
