"""Where the stores of the conformance tests are."""

from __future__ import annotations

import pytest
from tests.places import FLAGS, Places


@pytest.fixture(
    params=[
        pytest.param(kind, marks=pytest.mark.needs("postgres") if records else ())
        for kind, (records, _) in FLAGS.items()
    ]
)
def places(request: pytest.FixtureRequest) -> Places:
    """Each kind of place."""
    return Places(request, request.param)
