"""Labels on a real disk."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shipway.domain.events import Label
from shipway.errors import DataError, StoreError
from shipway.monitoring.labels import LabelLog, LabelReader, label_files

NS = 1_000_000_000


def label(prediction_id: str, value: Any, at_s: int) -> Label:
    """A label observed *at_s* seconds after 1970."""
    return Label(prediction_id=prediction_id, value=value, observed_at_ns=at_s * NS)


def test_the_newest_label_counts_and_the_others_are_history(tmp_path: Path) -> None:
    """By the time it was observed, not by the time it came in."""
    log, reader = LabelLog(tmp_path), LabelReader(tmp_path)
    log.append([label("a:0", 1, 200), label("b:0", 0, 100)])
    log.append([label("a:0", 0, 100)])
    assert dict(reader.refresh().select("prediction_id", "truth").iter_rows()) == {
        "a:0": 1,
        "b:0": 0,
    }
    log.append([label("a:0", 0, 300), label("a:0", 1, 300)])
    assert dict(reader.refresh().select("prediction_id", "truth").iter_rows()) == {
        "a:0": 1,
        "b:0": 0,
    }
    assert reader.history("a:0")["truth"].to_list() == [0, 1, 0, 1]
    then = reader.as_of(datetime.fromtimestamp(150, UTC))
    assert dict(then.select("prediction_id", "truth").iter_rows()) == {"a:0": 0, "b:0": 0}


def test_a_torn_label_is_cut_off_by_the_next_append(tmp_path: Path) -> None:
    """A log whose writer was killed in mid-write goes on."""
    log = LabelLog(tmp_path)
    log.append([label("a:0", 1, 1)])
    (path,) = label_files(tmp_path)
    with path.open("ab") as file:
        file.write(path.read_bytes()[:15])
    reader = LabelReader(tmp_path)
    assert reader.refresh().height == 1
    LabelLog(tmp_path).append([label("b:0", 1, 1)])
    log.append([label("c:0", 1, 1)])
    assert reader.refresh()["prediction_id"].to_list() == ["a:0", "b:0", "c:0"]


def test_labels_fill_one_file_after_another(tmp_path: Path) -> None:
    """And are read in order over all of them."""
    log = LabelLog(tmp_path, max_bytes=120)
    for number in range(9):
        log.append([label(f"{number}:0", number, number)])
    assert len(label_files(tmp_path)) > 1
    assert LabelReader(tmp_path).refresh()["truth"].to_list() == list(range(9))


def test_all_faults_of_labels_are_told_together(tmp_path: Path) -> None:
    """And none of the labels is kept, the good ones neither."""
    wrong = [
        label("", 1, 1),
        label("a:0", None, 1),
        label("b:0", float("nan"), -1),
        label("c:0", 1, 1),
    ]
    with pytest.raises(DataError) as raised:
        LabelLog(tmp_path).append(wrong)
    assert [p.where for p in raised.value.problems] == ["label 0", "label 1", "label 2", "label 2"]
    assert not label_files(tmp_path)


def test_a_label_that_cannot_be_synced_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the file, and the file is as it was."""
    log = LabelLog(tmp_path)
    log.append([label("a:0", 1, 1)])

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match="cannot be"):
            log.append([label("b:0", 1, 1)])
    log.append([label("c:0", 1, 1)])
    assert LabelReader(tmp_path).refresh()["prediction_id"].to_list() == ["a:0", "c:0"]
