"""What a window's report says when it is known what happened in the window."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from shipway.domain.metrics import Task
from shipway.domain.objectives import Objective, Objectives
from shipway.evidence.outcomes import classified, regressed
from shipway.evidence.verdict import Verdict
from shipway.monitoring.assess import assess
from shipway.monitoring.findings import WindowReport
from shipway.monitoring.reference import Reference, make_reference

World = Any  # the class stands in conftest, which cannot be imported


def report_of(world: World, frame: pl.DataFrame, **changes: Any) -> WindowReport:
    """The report of *frame* in the world's terms."""
    given: dict[str, Any] = {
        "contract": world.contract,
        "objectives": world.objectives,
        "window": world.window,
        "reference": world.reference,
    }
    return assess(frame, **{**given, **changes})


def verdict(report: WindowReport, metric: str) -> Verdict:
    """The verdict on the one objective about *metric*."""
    (found,) = (j.verdict for j in report.judgements if j.objective.metric == metric)
    return found


def test_a_window_like_the_gate_passes_and_needs_no_explanation(world: World) -> None:
    """Nothing moved, nothing fails, every change is within chance."""
    report = report_of(world, world.frame())
    assert report.verdict is Verdict.PASS
    assert report.moved == ()
    assert all("within chance" in found.words for found in report.explanations)
    assert report.quality == ()


def test_covariate_drift_explains_the_failure(world: World) -> None:
    """The rows moved to where the model cannot decide; the scores foresaw all of it."""
    report = report_of(world, world.frame(spread=0.4))
    assert verdict(report, "accuracy") is Verdict.FAIL
    assert [feature.name for feature in report.moved] == ["x"]
    explanation = report.explanation("accuracy")
    assert explanation is not None
    assert explanation.explained is not None
    assert explanation.explained > 0.8
    assert "moved features (x) explain about" in explanation.words
    assert report.moved[0].effects["accuracy"] < -0.05


def test_concept_drift_is_not_explained_by_features(world: World) -> None:
    """The rows are as ever, the truth is not: no feature moved, and the words say which it is."""
    report = report_of(world, world.frame(slope=-0.2))
    assert verdict(report, "accuracy") is Verdict.FAIL
    assert report.moved == ()
    figures = report.figures("accuracy")
    explanation = report.explanation("accuracy")
    assert figures is not None
    assert figures.estimated is not None
    assert figures.reference is not None
    assert figures.estimated.value == pytest.approx(figures.reference.value, abs=0.03)
    assert explanation is not None
    assert explanation.explained is not None
    assert explanation.explained < 0.1
    assert "relation between features and outcome has changed" in explanation.words


def test_both_at_once_are_told_apart(world: World) -> None:
    """A part is the rows', the rest the relation's."""
    explanation = report_of(world, world.frame(spread=0.8, slope=0.0)).explanation("accuracy")
    assert explanation is not None
    assert explanation.explained is not None
    assert 0.1 < explanation.explained < 0.8
    assert "the rest is a changed relation" in explanation.words


def test_an_improvement_needs_no_cause(world: World) -> None:
    """A metric better than at the gate is said to be better."""
    explanation = report_of(world, world.frame(spread=6.0)).explanation("accuracy")
    assert explanation is not None
    assert "better than what it was at the gate" in explanation.words


def test_windows_in_which_nothing_moved_raise_no_alarm(world: World) -> None:
    """Twenty quiet windows: no objective fails, no feature is said to have moved."""
    reports = [report_of(world, world.frame(seed=seed, rows=1500)) for seed in range(20)]
    assert not any(report.failing for report in reports)
    assert not any(report.moved for report in reports)


def test_a_window_with_few_labels_is_not_judged_on_outcomes(world: World) -> None:
    """However bad it looks; the traffic is judged all the same."""
    report = report_of(world, world.frame(slope=-1.5, labelled=0.5))
    assert not report.maturity.matured
    assert verdict(report, "accuracy") is Verdict.UNDECIDED
    assert verdict(report, "latency_p99_ms") is Verdict.PASS
    assert "not judged before 80%" in report.judgements[0].reason
    assert report.explanations == ()
    assert report_of(world, world.frame(slope=-1.5, labelled=0.5), maturity=0.4).failing


def test_a_window_with_few_rows_is_not_judged(world: World) -> None:
    """Too little data is never ok."""
    report = report_of(world, world.frame(rows=60))
    assert verdict(report, "accuracy") is Verdict.UNDECIDED
    assert "not enough data" in report.maturity.note
    assert all(feature.verdict is Verdict.UNDECIDED for feature in report.features)


def test_labels_that_are_no_fair_sample_are_noticed(world: World) -> None:
    """When sure predictions are labelled more often than unsure ones the report says so."""
    fair = report_of(world, world.frame(labelled=0.9))
    skewed = report_of(world, world.frame(labelled=lambda s: 0.5 + np.abs(s - 0.5)))
    assert not fair.maturity.skewed
    assert skewed.maturity.skewed
    assert "no fair sample" in skewed.maturity.note


def test_without_figures_from_a_gate_objectives_are_still_judged(world: World) -> None:
    """There is no estimate, no explanation and no baseline, and a note that says why."""
    report = report_of(world, world.frame(slope=-1.5), reference=None)
    assert verdict(report, "accuracy") is Verdict.FAIL
    figures = report.figures("accuracy")
    assert figures is not None
    assert figures.estimated is None
    assert any("no figures from a gate" in note for note in report.notes)


def test_data_quality_is_told_apart_from_drift(world: World) -> None:
    """Missing, unseen and out-of-range values are counted by column against training."""
    frame = world.frame(rows=2000).with_columns(
        pl.when(pl.int_range(2000) % 10 == 0)
        .then(None)
        .otherwise(pl.col("input.x"))
        .alias("input.x"),
        pl.when(pl.int_range(2000) % 20 == 1)
        .then(pl.lit("SWF"))
        .otherwise(pl.col("input.origin"))
        .alias("input.origin"),
    )
    frame = frame.with_columns(
        pl.when(pl.int_range(2000) % 5 == 3)
        .then(99.0)
        .otherwise(pl.col("input.x"))
        .alias("input.x")
    )
    found = {(f.column, f.rule): f for f in report_of(world, frame).quality}
    assert found["x", "missing"].share == pytest.approx(0.1)
    assert found["origin", "unseen"].share == pytest.approx(0.05)
    assert found["x", "out-of-range"].share == pytest.approx(0.2)
    assert all(fault.raised for fault in found.values())


def test_refused_and_failed_requests_are_traffic_and_no_predictions(world: World) -> None:
    """The error rate leaves out what was the caller's own fault."""
    frame = world.frame(rows=1000)
    refused = frame.head(30).with_columns(
        prediction_id=pl.lit(None, pl.String),
        row=pl.lit(None, pl.Int64),
        status=pl.Series([422] * 20 + [500] * 10),
        code=pl.Series(["contract.violated"] * 20 + ["model.prediction-failed"] * 10),
        truth=pl.lit(None, pl.Int64),
    )
    report = report_of(world, pl.concat([frame, refused], how="vertical_relaxed"))
    assert report.predictions == 1000
    assert (report.traffic.requests, report.traffic.refused, report.traffic.failed) == (
        1030,
        20,
        10,
    )
    assert report.traffic.error_rate.value == pytest.approx(10 / 1010)
    assert report.traffic.codes == {"contract.violated": 20, "model.prediction-failed": 10}


def test_a_label_that_is_no_class_does_not_count_and_is_told(world: World) -> None:
    """One caller's wrong label must not stop the assessment."""
    frame = world.frame(rows=1000).with_columns(
        truth=pl.when(pl.int_range(1000) < 7).then(9).otherwise(pl.col("truth"))
    )
    report = report_of(world, frame)
    assert report.maturity.labelled == 993
    assert any("7 labels are no value" in note for note in report.notes)


def test_a_window_without_events_is_undecided(world: World) -> None:
    """Silence is no pass."""
    report = report_of(world, world.frame(rows=10).clear())
    assert report.verdict is Verdict.UNDECIDED
    assert report.predictions == 0


def test_a_report_and_a_reference_are_plain_json(world: World) -> None:
    """They live in the registry's evidence and in other programs."""
    report = report_of(world, world.frame(rows=500))
    assert msgspec.json.decode(msgspec.json.encode(report), type=WindowReport) == report
    stored = msgspec.json.encode(world.reference)
    assert msgspec.json.decode(stored, type=Reference) == world.reference


def test_slices_are_judged_with_the_whole(world: World) -> None:
    """A slice that fails makes the window fail, and is named."""
    objectives = msgspec.structs.replace(
        world.objectives,
        objectives=(Objective(metric="accuracy", at_least=0.70, slices=("origin",)),),
    )
    frame = world.frame(rows=3000).with_columns(
        truth=pl.when(pl.col("input.origin") == "LGA")
        .then(1 - pl.col("label"))
        .otherwise(pl.col("label"))
    )
    report = report_of(world, frame, objectives=objectives)
    assert "origin=LGA" in [found.measurement.of for found in report.failing]
    assert "origin=EWR" not in [found.measurement.of for found in report.failing]


def test_a_multiclass_window_is_judged_by_its_decisions(world: World) -> None:
    """Labels are matched by their text, probabilities stand in the order of the classes."""
    random = np.random.default_rng(3)
    classes = ("a", "b", "c")
    objectives = Objectives(
        task=Task.MULTICLASS, objectives=(Objective(metric="accuracy", at_least=0.5),)
    )
    scores = random.dirichlet([1, 1, 1], 900)
    truth = np.array(classes, dtype=object)[scores.argmax(axis=1)]
    gate = make_reference(
        classified(objectives, truth, scores, classes=classes), metrics=["accuracy"]
    )
    frame = world.frame(rows=900).with_columns(
        score=pl.lit(None, pl.Float64),
        probabilities=pl.Series(scores.tolist()),
        label=pl.Series(truth.tolist()),
        truth=pl.Series(truth.tolist()),
    )
    report = report_of(world, frame, objectives=objectives, reference=gate)
    assert verdict(report, "accuracy") is Verdict.PASS
    assert report.scores is not None
    assert not report.scores.moved


def test_a_regression_window_is_judged_by_its_values(world: World) -> None:
    """Labels may come as whole numbers; what is no number does not count."""
    random = np.random.default_rng(4)
    truth = random.normal(10, 3, 600)
    objectives = Objectives(
        task=Task.REGRESSION, objectives=(Objective(metric="mae", at_most=1.5),)
    )
    values = truth + random.normal(0, 1, 600)
    gate = make_reference(regressed(truth, values), metrics=["mae"])
    frame = world.frame(rows=600).with_columns(
        score=pl.Series(values), label=pl.Series(values), truth=pl.Series(truth)
    )
    report = report_of(world, frame, objectives=objectives, reference=gate)
    assert verdict(report, "mae") is Verdict.PASS
    worse = frame.with_columns(truth=pl.col("truth") + 5)
    assert (
        verdict(report_of(world, worse, objectives=objectives, reference=gate), "mae")
        is Verdict.FAIL
    )
