"""The demo does not say that all went well when it did not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from shipway.cli import demo as command
from shipway.cli.failures import FAILED, PASSED
from shipway.examples.flights import telling
from shipway.examples.flights.summary import DemoSummary

SUMMARY = DemoSummary(
    fast=True,
    flights=1,
    predictions=1,
    requests=1,
    failed_requests=0,
    labels_joined=1,
    weeks=(),
    alerts=(),
    gates=(),
    versions=(),
    switches=(),
    promoted=2,
    rolled_back=3,
    live=2,
    card="",
    report="",
    url="",
    call="shipway serve",
    seconds={},
    missing=(),
)


@pytest.mark.parametrize(("missing", "code"), [((), PASSED), (("no alert was raised",), FAILED)])
def test_a_step_that_did_not_happen_is_an_exit_code(
    missing: tuple[str, ...], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The demo ends with 0 only when every step of the story has happened."""
    ended = msgspec.structs.replace(SUMMARY, missing=missing)
    monkeypatch.setattr(telling, "tell", lambda *_, **__: ended)
    assert command.demo(folder=tmp_path).exit_code == code
