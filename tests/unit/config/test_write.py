"""The commented file that init writes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.config.load import parse_settings
from shipway.config.schema import by_name, reference
from shipway.config.settings import DataSettings, ModelSettings, ServeSettings, Settings
from shipway.config.write import render_settings
from shipway.domain.metrics import METRICS, Source, Task
from shipway.domain.objectives import BaselineKind, Costs, Objective, Objectives, Reference

PATH = Path("shipway.toml")


def settings_of(task: Task, target: str, time: str | None, decision: str, port: int) -> Settings:
    """Settings of *task* with an objective of every metric that fits."""
    block = "row" if time is None else "day"
    fitting = [m for m in METRICS.values() if task in m.tasks]
    costly = {Task.BINARY: Costs(false_negative=5.0), Task.MULTICLASS: Costs(mistake=2.0)}
    objectives = tuple(
        Objective(
            metric=metric.name,
            at_most=0.5,
            better_than=Reference.BASELINE if metric.source is Source.OUTCOMES else None,
        )
        for metric in fitting
    )
    return Settings(
        model=ModelSettings(
            name="m", task=task, target=target, time=time, decision=decision, block=block
        ),
        data=DataSettings(train="data/train.parquet"),
        objectives=Objectives(
            task=task,
            objectives=objectives,
            costs=costly.get(task),
            baseline=BaselineKind.BEST_CONSTANT,
            block=block,
        ),
        serve=ServeSettings(port=port, queue_rows=7),
    )


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@given(st.sampled_from(Task), names, st.none() | names, names, st.integers(0, 8000))
def test_what_is_written_is_read_back(
    task: Task, target: str, time: str | None, decision: str, port: int
) -> None:
    """Any settings survive the way through the file, whatever their texts hold."""
    if time == target:
        return
    written = settings_of(task, target, time, decision, port)
    read = parse_settings(render_settings(written), path=PATH, environ={}, flags={})
    assert read.settings == written


@pytest.mark.parametrize("task", Task)
def test_the_offers_of_the_file_are_valid(task: Task) -> None:
    """A line that is uncommented becomes a setting that exists, with a value of its type."""
    text = render_settings(settings_of(task, "y", "t", "", 8080))
    uncommented = "\n".join(
        line.removeprefix("# ") for line in text.splitlines()[2:] if line != "# "
    )
    for section, body in tomllib.loads(uncommented).items():
        for key, value in body.items() if isinstance(body, dict) else ():
            assert msgspec.convert(value, by_name()[f"{section}.{key}"].plain) == value


def test_every_setting_is_described() -> None:
    """The reference has a meaning and what is allowed for every setting, each named once."""
    rows = reference()
    assert all(row.meaning and row.allowed and row.kind for row in rows)
    assert len({(row.section, row.key) for row in rows}) == len(rows)
    variables = [row.variable for row in rows if row.variable]
    assert len(set(variables)) == len(variables)
