"""What moved against what changed its meaning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.evidence.explain import explained_share

figures = st.floats(-10, 10)


@pytest.mark.parametrize(
    ("reference", "estimated", "realised", "share", "words"),
    [
        (0.80, 0.70, 0.70, 1.0, "the data moved"),
        (0.80, 0.80, 0.70, 0.0, "relation between features and outcome has changed"),
        (0.80, 0.75, 0.70, 0.5, "the rest is a changed relation"),
        (0.80, 0.85, 0.70, 0.0, "does not explain it"),
        (0.80, 0.60, 0.70, 1.0, "explain 100%"),
    ],
)
def test_change_is_told_in_words(
    reference: float, estimated: float, realised: float, share: float, words: str
) -> None:
    """The share of the change that the scores foresaw is told, and what the rest means."""
    found = explained_share(reference, estimated, realised)
    assert found.share == pytest.approx(share)
    assert words in found.words


def test_noise_is_not_explained() -> None:
    """A change within noise has no share."""
    found = explained_share(0.80, 0.79, 0.795, noise=0.01)
    assert found.share is None
    assert "nothing to explain" in found.words


@given(figures, figures, figures)
def test_parts_add_up(reference: float, estimated: float, realised: float) -> None:
    """Foreseen and unforeseen add up to the change."""
    found = explained_share(reference, estimated, realised)
    assert found.foreseen + found.unforeseen == pytest.approx(found.change, abs=1e-9)
    assert found.share is None or 0 <= found.share <= 1
