"""The packed model in onnxruntime against the pickled pipeline that it was made from."""

from __future__ import annotations

from collections.abc import Iterator

import joblib

from benchmarks.figure import Figure
from benchmarks.flights import Workshop
from shipway.bootstrap.predictors import predictor_of
from shipway.examples.flights.training import frame

_SIZES = (1, 50, 100_000)


def run(workshop: Workshop) -> Iterator[Figure]:
    """One row, fifty and 100,000: time of each, and how many times faster ours is."""
    project = workshop.project
    pipeline = joblib.load(workshop.model_file)
    predictor = predictor_of(project.registry, project.registry.version(project.model, 1))
    for size in _SIZES[: 2 if workshop.quick else None]:
        rows = workshop.labelled.head(size)
        columns, table = project.compiled.encode(rows), frame(rows)
        ours = workshop.watch.seconds(lambda: predictor.predict_columns(columns))  # noqa: B023
        pickled = workshop.watch.seconds(lambda: pipeline.predict_proba(table))  # noqa: B023
        note = f"rows: {size:,}, trees: 200"
        yield Figure(f"runtime.packed_{size}", ours * 1e3, "ms", note=note)
        yield Figure(f"runtime.pickled_{size}", pickled * 1e3, "ms", note=note)
        yield Figure(
            f"runtime.ratio_{size}", pickled / ours, "times", "higher", "packed to pickled"
        )
    predictor.close()
