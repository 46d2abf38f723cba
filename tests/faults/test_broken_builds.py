"""What is broken on purpose can still be broken, and there is something for each experiment to find."""

import pytest

from tests.faults.broken_builds import changed
from tests.faults.builds import BUILDS
from tests.faults.run import EXPERIMENTS


@pytest.mark.parametrize("name", BUILDS)
def test_a_build_differs_in_texts_that_are_there(name: str) -> None:
    for file, source in changed(BUILDS[name]).items():
        compile(source, file, "exec")


def test_every_experiment_must_catch_one() -> None:
    caught_by = {experiment for build in BUILDS.values() for experiment in build.caught_by}
    assert caught_by == EXPERIMENTS.keys() - {"broken-builds"}
