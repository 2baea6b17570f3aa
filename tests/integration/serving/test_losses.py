"""What is told of events that could not be kept."""

from __future__ import annotations

from pathlib import Path

from tests.serving_rig import World, eventually, infer, running

from shipway.domain.events import Losses
from shipway.serving.exposition import metrics_page
from shipway.serving.status import WorkerStatus, read_workers


def status(world: World) -> WorkerStatus:
    """What the worker tells of itself."""
    (told,) = read_workers(world.run)
    return told


def test_lost_events_are_told(tmp_path: Path) -> None:
    """Metrics count what was lost, the status says why, and both stay through a promotion."""
    with running(tmp_path) as world:
        eventually(lambda: any(one.ready for one in read_workers(world.run)))
        assert b"shipway_events_lost_total 0.0" in metrics_page(tmp_path)
        world.sink.losses = Losses(3, "No space left on device")
        eventually(lambda: status(world).lost.events == 3)
        assert status(world).lost.error == "No space left on device"
        assert b"shipway_events_lost_total 3.0" in metrics_page(tmp_path)
        sequence = world.routing.promote(2)
        eventually(lambda: status(world).acknowledges("late", sequence))
        assert status(world).lost.events == 3
        world.sink.losses = Losses(5, "")
        eventually(lambda: status(world).lost == Losses(5, ""))
        assert b"shipway_events_lost_total 5.0" in metrics_page(tmp_path)
        assert world.ask(infer()).status == 200
