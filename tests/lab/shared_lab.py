"""One laboratory for all tests of the folder: every test gets it back in its first state.

A plugin that the test modules name, not a conftest.py: mypy takes the files of all test folders for top-level
modules, and there can be only one of a name.
"""

from collections.abc import Iterator

import pytest
from mesh_visitor import Mesh

from canary.lab.lab import CANARY, MANIFESTS, STABLE, Lab


@pytest.fixture(scope="session")
def running_lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def mesh(running_lab: Lab) -> Iterator[Mesh]:
    running_lab.check()
    yield Mesh(running_lab)
    running_lab.quiesce()
    running_lab.apply(MANIFESTS / "order-service.yaml")
    running_lab.wait_until(
        lambda: (
            running_lab.is_rolled_out(STABLE)
            and running_lab.is_rolled_out(CANARY)
            and running_lab.is_serving()
            and running_lab.served_weights() == {"stable": 100, "canary": 0}
        ),
        what="the first state",
        deadline_seconds=60,
    )
