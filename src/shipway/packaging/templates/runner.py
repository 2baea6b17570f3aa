"""Runs the model in this folder anywhere: it needs Python 3.11, onnxruntime and numpy only.

    python runner.py rows.csv > predictions.csv
    python runner.py rows.jsonl > predictions.jsonl

or in a program: ``Runner("folder of this file").predict([{"column": value, ...}, ...])``.

Rows are checked and decided as by Shipway's server; manifest.json is checked first. Exit codes: 0
all answered, 1 some break the contract (told on stderr, left out), 2 wrong usage, 4 damaged bundle.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else onnxruntime reports to its maker

import onnxruntime

FLOAT_HIGH = 1.7976931348623157e308
INT64_LOW, INT64_HIGH = -(2**63), 2**63 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_US = 86_400_000_000
CHUNK_ROWS, SLACK = 4096, 1e-6
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity|nan)", re.I | re.A)
INTEGER = re.compile(r"[+-]?\d+", re.A)
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


class BundleDamaged(Exception):
    """A file of the bundle is not the one that was made."""


class ContractViolated(ValueError):
    """Rows break the contract; ``faults`` has the reasons by row, counted from 0."""

    def __init__(self, faults: dict[int, list[str]]) -> None:
        first = next(iter(faults))
        super().__init__(f"{len(faults)} rows break the contract; row {first}: {faults[first]}")
        self.faults = faults


class Runner:
    """The model of one bundle; ``contract`` is what it promises, as in contract.json."""

    def __init__(self, folder: str | Path) -> None:
        base = Path(folder)
        verify(base)
        self.contract: dict[str, Any] = json.loads((base / "contract.json").read_text("utf-8"))
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            (base / "model.onnx").read_bytes(), settings, providers=["CPUExecutionProvider"]
        )

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One answer a row: ``prediction``, and its ``score`` or its ``probabilities`` by class.

        Raises ContractViolated with every fault of every row. Columns that the contract does not
        know are not looked at.
        """
        faults, arrays = self.check(rows)
        if faults:
            raise ContractViolated(faults)
        return self._answers(arrays, len(rows)) if rows else []

    def check(
        self, rows: Sequence[Mapping[str, Any]]
    ) -> tuple[dict[int, list[str]], dict[str, np.ndarray[Any, Any]]]:
        """What is wrong with the rows (nothing, one hopes), else the arrays of the features."""
        faults: dict[int, list[str]] = {}
        arrays: dict[str, np.ndarray[Any, Any]] = {}
        for column in self.contract["columns"]:
            feature, name = column["role"] == "feature", column["name"]
            kept = []
            for index, row in enumerate(rows):
                if name not in row:
                    value, reasons = None, [f"{name}: the column is missing"] if feature else []
                else:
                    value, reasons = read_value(column, row[name])
                if reasons:
                    faults.setdefault(index, []).extend(reasons)
                kept.append(value)
            if feature and not faults:
                arrays[name] = as_array(column, kept)
        return dict(sorted(faults.items())), arrays

    def _answers(self, arrays: dict[str, np.ndarray[Any, Any]], rows: int) -> list[dict[str, Any]]:
        spec = self.contract
        raw = self._session.run([spec["output"]], self._feeds(arrays, rows))[0]
        answer = np.asarray(raw, dtype=np.float64)
        classes: list[Any] = spec["classes"]
        if not classes:
            values = answer.reshape(rows)
            if not np.isfinite(values).all():
                raise ArithmeticError("the model answered NaN or infinity")
            return [{"prediction": value} for value in values.tolist()]
        if len(classes) == 2 and answer.size == rows:
            last = answer.reshape(rows)
            answer = np.column_stack((1.0 - last, last))
        answer = answer.reshape(rows, len(classes))
        if not ((answer >= -SLACK) & (answer <= 1 + SLACK)).all():
            raise ArithmeticError("the model answered with what is no probability")
        positive = spec["positive"]
        if positive is None:
            best = answer.argmax(axis=1).tolist()
            names = [text_of(value) for value in classes]
            return [
                {"prediction": classes[index], "probabilities": dict(zip(names, row, strict=True))}
                for index, row in zip(best, answer.tolist(), strict=True)
            ]
        return [
            {
                "prediction": classes[positive if score >= spec["threshold"] else 1 - positive],
                "score": score,
            }
            for score in answer[:, positive].tolist()
        ]

    def _feeds(self, arrays: dict[str, np.ndarray[Any, Any]], rows: int) -> dict[str, Any]:
        graph = self._session.get_inputs()
        dtypes = {one.name: np.dtype(DTYPES[one.type]) for one in graph}
        if self.contract["layout"] == "matrix":
            name = graph[0].name
            table: Any = np.empty((rows, len(arrays)), dtype=dtypes[name])
            for position, (column, values) in enumerate(arrays.items()):
                table[:, position] = self._tensor(column, values, dtypes[name])
            return {name: table}
        return {
            one.name: self._tensor(one.name, arrays[one.name], dtypes[one.name]).reshape(
                (-1, 1) if len(one.shape) == 2 else (-1,)
            )
            for one in graph
        }

    def _tensor(self, name: str, values: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        if dtype.kind == "O":
            given = values.tolist()
            missing = self.contract["missing_string"]
            if missing is None and None in given:
                raise ValueError(f"a value of {name!r} is missing, which this model cannot take")
            return np.array([missing if one is None else one for one in given], dtype=object)
        if dtype.kind in "ib" and values.dtype.kind == "f" and np.isnan(values).any():
            raise ValueError(f"a value of {name!r} is missing, which this model cannot take")
        cast: np.ndarray[Any, Any] = values.astype(dtype)
        return cast


def verify(folder: Path) -> None:
    """Raise BundleDamaged unless every file of the manifest is there with its digest."""
    try:
        files = json.loads((folder / "manifest.json").read_text("utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleDamaged(f"manifest.json cannot be read: {error}") from error
    for name in ("contract.json", "model.onnx", "runner.py"):
        if name not in files:
            raise BundleDamaged(f"manifest.json does not list {name}")
    for name, digest in files.items():
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            raise BundleDamaged(f"{name} cannot be read: {error}") from error
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise BundleDamaged(f"{name} differs from its digest in manifest.json")


def text_of(value: Any) -> str:
    """A value as text: booleans in small letters, whole floats without their ``.0``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def read_value(column: Mapping[str, Any], value: Any) -> tuple[Any, list[str]]:
    """A value as the model takes it, or what is wrong with it."""
    name, kind = column["name"], column["kind"]
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or value != value:  # noqa: PLR0124  NaN
        if column["nullable"]:
            return None, []
        told = [(column["missing"], f"{name}: the value is missing")]
        return mended(column, None, told)
    read = READERS[kind](value)
    if read is None:
        return None, [f"{name}: {value!r} is not a valid {kind}"]
    return mended(column, read, list(broken_rules(column, value, read)))


def broken_rules(column: Mapping[str, Any], value: Any, read: Any) -> Iterator[tuple[str, str]]:
    """The policy of each rule that a value of the right kind breaks, and what is wrong."""
    name, kind = column["name"], column["kind"]
    if kind in ("number", "integer"):
        low, high = bounds(column)
        if not low <= read <= high:
            yield column["out_of_range"], f"{name}: {value!r} is out of range"
    known = column["categories"] if kind in ("string", "integer", "boolean") else None
    if known is not None and text_of(read) not in known:
        yield column["unseen"], f"{name}: {value!r} was not seen in training"
    pattern = column["pattern"]
    if kind == "string" and pattern and re.fullmatch(pattern, read) is None:
        yield column["mismatched"], f"{name}: {value!r} does not look like {pattern}"


def mended(
    column: Mapping[str, Any], read: Any, broken: list[tuple[str, str]]
) -> tuple[Any, list[str]]:
    """What stands for a value that breaks rules, or what is wrong with it."""
    faults = [text for policy, text in broken if policy in ("reject", "quarantine")]
    if faults:
        return None, faults
    policies = [policy for policy, _ in broken]
    if "impute" in policies:
        return READERS[column["kind"]](column["fill"]), []
    if "clip" in policies:
        low, high = bounds(column)
        return min(max(read, low), high), []
    return read, []


def bounds(column: Mapping[str, Any]) -> tuple[float, float]:
    """The least and the greatest value of a column; whole numbers for whole numbers."""
    low, high = column["minimum"], column["maximum"]
    if column["kind"] == "number":
        return -FLOAT_HIGH if low is None else low, FLOAT_HIGH if high is None else high
    least = INT64_LOW if low is None else max(math.ceil(low), INT64_LOW)
    return least, INT64_HIGH if high is None else min(math.floor(high), INT64_HIGH)


def read_number(value: Any) -> float | None:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if abs(float(value)) <= FLOAT_HIGH else None
    except OverflowError:
        return None


def read_integer(value: Any) -> int | None:
    """A whole number of 64 bits; 3.0 is one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not (math.isfinite(value) and value.is_integer()):
        return None
    whole = int(value)
    return whole if INT64_LOW <= whole <= INT64_HIGH else None


def read_timestamp(value: Any) -> int | None:
    """Microseconds since 1970 of a time as text (ISO 8601) or as a datetime; UTC without a zone."""
    if isinstance(value, date):
        value = value.isoformat()
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        delta = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH
    except (ValueError, OverflowError):
        return None
    return delta.days * DAY_US + delta.seconds * 1_000_000 + delta.microseconds


def read_date(value: Any) -> int | None:
    """Microseconds since 1970 of a day; with a time of day it is none."""
    moment = read_timestamp(value)
    return moment if moment is not None and moment % DAY_US == 0 else None


READERS = {
    "number": read_number,
    "integer": read_integer,
    "boolean": lambda value: value if isinstance(value, bool) else None,
    "string": lambda value: value if isinstance(value, str) else None,
    "date": read_date,
    "timestamp": read_timestamp,
}


def as_array(column: Mapping[str, Any], values: list[Any]) -> np.ndarray[Any, Any]:
    """Read values as the array of their kind; a missing one is NaN, NaT or None."""
    kind, nullable = column["kind"], column["nullable"]
    if kind == "string":
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    if kind in ("date", "timestamp"):
        stamps = [INT64_LOW if value is None else value for value in values]
        return np.array(stamps, dtype=np.int64).view("datetime64[us]")
    if kind == "number" or nullable:
        return np.array(values, dtype=np.float64)
    return np.array(values, dtype=np.bool_ if kind == "boolean" else np.int64)


def cell(kind: str, text: str | None) -> Any:
    """A cell of a CSV file by its column's kind; what cannot be read stays text, and is refused."""
    if text is None or text == "":
        return None
    bare = text.strip()
    if not bare and kind in ("number", "integer", "boolean"):
        return None
    if kind == "boolean":
        return {"true": True, "false": False}.get(bare.lower(), text)
    if kind == "integer" and INTEGER.fullmatch(bare):
        return int(bare)
    return float(bare) if kind in ("number", "integer") and NUMBER.fullmatch(bare) else text


def read_rows(path: Path, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file, or of a file with one JSON object a line."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix.lower() == ".csv":
            for row in csv.DictReader(file):
                yield {name: cell(kinds.get(name, ""), text) for name, text in row.items()}
        else:
            yield from (json.loads(line) for line in file if line.strip())


def run(runner: Runner, path: Path) -> int:
    """Answer every row of the file on stdout, in order; the exit code says how it went."""
    kinds = {column["name"]: column["kind"] for column in runner.contract["columns"]}
    rows, first, code, writer = read_rows(path, kinds), 0, 0, None
    while chunk := list(islice(rows, CHUNK_ROWS)):
        faults, _ = runner.check(chunk)
        for row, reasons in faults.items():
            sys.stderr.write(f"row {first + row}: {'; '.join(reasons)}\n")
        code = 1 if faults else code
        good = [row for row in range(len(chunk)) if row not in faults]
        answers = runner.predict([chunk[row] for row in good])
        for row, answer in zip(good, answers, strict=True):
            record = {"row": first + row, **flat(answer)}
            if path.suffix.lower() != ".csv":
                sys.stdout.write(json.dumps(record) + "\n")
                continue
            if writer is None:
                writer = csv.DictWriter(sys.stdout, list(record), lineterminator="\n")
                writer.writeheader()
            writer.writerow({name: text_of(value) for name, value in record.items()})
        first += len(chunk)
    return code


def flat(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer with one ``probability_<class>`` a class in the place of ``probabilities``."""
    named = answer.pop("probabilities", {})
    return answer | {f"probability_{name}": value for name, value in named.items()}


def main(arguments: Iterable[str]) -> int:
    """Run from a command line; never a traceback for what a person can mend."""
    given = list(arguments)
    if len(given) != 1 or given[0] in ("-h", "--help"):
        sys.stderr.write(str(__doc__))
        return 2
    try:
        return run(Runner(Path(__file__).parent), Path(given[0]))
    except BundleDamaged as error:
        sys.stderr.write(f"damaged bundle: {error}\nNext: copy the bundle here again.\n")
        return 4
    except (OSError, ValueError, ArithmeticError, csv.Error) as error:
        sys.stderr.write(f"{given[0]}: {error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
