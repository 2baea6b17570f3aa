"""What all tests share: the marker for programs of the system."""

from __future__ import annotations

import os
import shutil

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs an absent program, naming it; under CI the absence is a failure."""
    for item in items:
        for marker in item.iter_markers("needs"):
            program = marker.args[0]
            if shutil.which(program) is None and not os.environ.get("CI"):
                reason = f"{program} is not installed: apt-get install {program}"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _programs(request: pytest.FixtureRequest) -> None:
    for marker in request.node.iter_markers("needs"):
        if shutil.which(marker.args[0]) is None:
            pytest.fail(f"{marker.args[0]} is not installed, and CI skips nothing")
