"""What the registry benchmark makes of the seconds that it is given."""

from __future__ import annotations

from benchmarks.registries.__main__ import Taken, document, table


def taken() -> Taken:
    """One run: ours takes 10 ms, 5 ms and 50 ms, MLflow 100 ms and 15 ms."""
    return Taken(
        {
            ("Shipway", "publish, durable"): [0.01, 0.01, 9.0],
            ("MLflow", "publish, by log_model"): [0.1],
            ("Shipway", "load"): [0.005],
            ("MLflow", "load"): [0.015],
            ("Shipway", "list"): [0.05],
        }
    )


def test_bars_are_ratios_of_medians() -> None:
    """One slow publish moves no bar; the list is told in milliseconds."""
    assert document(taken()) == {
        "publish, times MLflow": {"value": 10.0, "bar": 2.0, "better": "higher"},
        "load, times MLflow": {"value": 3.0, "bar": 2.0, "better": "higher"},
        "list of 10,000 versions, ms": {"value": 50.0, "bar": 100.0, "better": "lower"},
    }


def test_what_was_not_measured_has_no_bar() -> None:
    """Without the peer only our own list is told of."""
    ours = Taken({("Shipway", "list"): [0.05], ("Shipway", "load"): [0.005]})
    assert set(document(ours)) == {"list of 10,000 versions, ms"}
    assert table(ours).row_count == 2
