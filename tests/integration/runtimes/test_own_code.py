"""A user's own code is packed, answers from a process of its own, and may do its worst there."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.serving_rig import eventually

from shipway.contract.schema import Column, Contract, Role
from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec
from shipway.errors import (
    CodeRefused,
    MissingPackage,
    ModelFileError,
    ModelMismatch,
    PredictionFailed,
)
from shipway.runtimes.packing import pack, reload
from shipway.runtimes.port import Packed, ProcessLimits
from shipway.runtimes.python import PythonModel
from shipway.runtimes.sources import MAIN_FILE, Unpacked, archive
from shipway.serving.status import is_alive

CONTRACT = Contract(
    model="m",
    task=Task.BINARY,
    columns=(
        Column(name="age", kind=Kind.INTEGER),
        Column(name="fee", kind=Kind.NUMBER, nullable=True),
        Column(name="city", kind=Kind.STRING, nullable=True),
        Column(name="since", kind=Kind.TIMESTAMP),
        Column(name="late", kind=Kind.STRING, role=Role.TARGET, categories=("no", "yes")),
    ),
)
SAMPLE: dict[str, NDArray[Any]] = {
    "age": np.arange(20, 60),
    "fee": np.where(np.arange(40) % 4 == 0, np.nan, np.arange(40.0)),
    "city": np.array([("Lima", None, "Oslo")[n % 3] for n in range(40)], dtype=object),
    "since": np.arange("2024-01-01", "2024-02-10", dtype="datetime64[D]").astype("datetime64[us]"),
}
ANSWER = "np.asarray(frame['age'], dtype=float) / 100"
Make = Callable[..., PythonModel]


def written(folder: Path, body: str, name: str = "serving.py") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"import numpy as np\n{body}\n")
    return folder / name


def packed(path: Path, **changes: Any) -> Packed:
    options: dict[str, Any] = {"threshold": 0.5, "positive": None, "trust_code": True, **changes}
    made, _ = pack(path, options.pop("contract", CONTRACT), SAMPLE, **options)
    return made


@pytest.fixture
def make() -> Iterator[Make]:
    """Opens models of one column ``x`` whose ``predict`` has a given body."""
    opened: list[PythonModel] = []

    def open_model(body: str, **limits: float) -> PythonModel:
        spec = ModelSpec(
            format="python",
            task=Task.REGRESSION,
            inputs=(InputSpec("x", Kind.NUMBER),),
            main_file=MAIN_FILE,
            options={"entry": "serving:Model"},
        )
        granted = ProcessLimits(**{"answer_timeout_s": 20.0, "load_timeout_s": 30.0, **limits})  # type: ignore[arg-type]
        model = PythonModel(
            spec, Unpacked.of(archive({"serving.py": body.encode()})), threads=1, limits=granted
        )
        opened.append(model)
        model.open()
        return model

    yield open_model
    for model in opened:
        model.close()


def asked(model: PythonModel, *values: float) -> list[float]:
    answers: list[float] = model.predict({"x": np.array(values)}).tolist()
    return answers


MISCHIEF = """
import ctypes, os, sys, time
class Model:
    def predict(self, frame):
        x = frame["x"]
        if (x == 1).any(): time.sleep(100)
        if (x == 2).any(): os._exit(3)
        if (x == 3).any(): ctypes.string_at(0)
        if (x == 4).any(): sys.exit(5)
        if (x == 5).any(): raise ZeroDivisionError("five")
        if (x == 6).any(): return np.zeros((7, 7))
        if (x == 7).any(): return [float(os.getpid())]
        if (x == 8).any(): return bytearray(1 << 40)
        return x * 2
import numpy as np
"""


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (1.0, "did not answer within"),
        (2.0, "ended with exit code 3"),
        (3.0, "killed by SIGSEGV"),
        (4.0, "ended with exit code 5"),
    ],
)
def test_a_process_that_ends_or_hangs_is_replaced(make: Make, value: float, why: str) -> None:
    """The call fails and says how; another process answers the next ones."""
    model = make(MISCHIEF, answer_timeout_s=1.5)
    assert asked(model, 10) == [20]
    before = asked(model, 7)
    with pytest.raises(PredictionFailed, match=why):
        asked(model, value)
    eventually(lambda: answers(model, 10) == [20])
    assert asked(model, 7) != before
    assert not is_alive(int(before[0]))


def answers(model: PythonModel, value: float) -> list[float] | None:
    try:
        return asked(model, value)
    except PredictionFailed:
        return None


@pytest.mark.parametrize(
    ("value", "why"),
    [(5.0, "raised ZeroDivisionError: five"), (6.0, "is no prediction"), (8.0, "MemoryError")],
)
def test_an_error_ends_nothing(make: Make, value: float, why: str) -> None:
    """What the code raises fails that call alone; its process stays as it is."""
    model = make(MISCHIEF)
    before = asked(model, 7)
    with pytest.raises(PredictionFailed, match=why):
        asked(model, value)
    assert asked(model, 7) == before


def test_the_calls_after_an_end_do_not_wait(make: Make) -> None:
    """Of a batch that ended the process, the others are refused at once, not tried one by one."""
    model = make(MISCHIEF, answer_timeout_s=30.0)
    with pytest.raises(PredictionFailed):
        asked(model, 2)
    with pytest.raises(PredictionFailed, match="started again"):
        asked(model, 10)


def test_a_crash_loop_is_slowed_down(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends again and again is started later and later."""
    now = time.monotonic()
    clock = [now]
    model = make(MISCHIEF)
    monkeypatch.setattr("shipway.runtimes.python.time.monotonic", lambda: clock[0])
    pauses = []
    for _ in range(4):
        with pytest.raises(PredictionFailed, match="exit code 3"):
            asked(model, 2)
        pauses.append(model._not_before - clock[0])
        clock[0] = model._not_before
    assert [round(pause, 6) for pause in pauses] == [0.25, 0.5, 1.0, 2.0]
    assert asked(model, 10) == [20]
    assert model._failures == 0


def test_what_it_prints_is_logged(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """What the code prints is in the server's log, and mixes with nothing that it answers."""
    with caplog.at_level(logging.INFO, "shipway.runtimes.python"):
        model = make(
            "class Model:\n    def predict(self, frame):\n        print('hello')\n"
            "        return frame['x']"
        )
        assert asked(model, 3) == [3]
        eventually(lambda: "serving:Model printed: hello" in caplog.text)


def test_it_knows_neither_secret_nor_store(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment has no key in it, its folder is its own, its home is empty, and it holds no
    descriptor but its own few.
    """
    monkeypatch.setenv("SHIPWAY_KEY", "secret")
    monkeypatch.setenv("DATABASE_URL", "secret")
    held = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(held, True)
    try:
        model = make(
            """
import os
class Model:
    def __init__(self, files):
        assert not {"SHIPWAY_KEY", "DATABASE_URL", "PYTHONPATH"} & os.environ.keys(), os.environ
        assert os.getcwd() == str(files), os.getcwd()
        assert os.listdir(os.environ["HOME"]) == []
        assert os.environ["OMP_NUM_THREADS"] == "1"
        targets = [os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")]
        assert targets.count(os.devnull) == 1, targets  # its standard input
        open(os.path.join(os.environ["HOME"], "mine"), "w").close()
    def predict(self, frame):
        return frame["x"]
"""
        )
        assert asked(model, 1) == [1]
    finally:
        os.close(held)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("import no_such_thing", "ModuleNotFoundError"),
        ("import os; os._exit(9)", "exit code 9"),
        ("Model = 3", "neither a class nor a function"),
        ("class Other: pass", "no attribute 'Model'"),
        ("class Model:\n    def predict(self): ...", "takes no frame"),
        ("class Model:\n    def __init__(self, files): raise OSError('gone')", "OSError: gone"),
    ],
)
def test_code_that_does_not_load_says_why(make: Make, body: str, why: str) -> None:
    """Whatever goes wrong while it is loaded is one kind of error, and nothing is left behind."""
    with pytest.raises(ModelFileError, match=why):
        make(body)


def test_code_that_hangs_at_load_is_given_up(make: Make) -> None:
    """A load has its time, and not more."""
    with pytest.raises(ModelFileError, match=r"was not loaded within 0\.5 s"):
        make("import time; time.sleep(100)", load_timeout_s=0.5)


def test_an_answer_too_large_is_none(make: Make) -> None:
    """A process cannot fill the server's memory with what it answers."""
    model = make(
        "import numpy as np\nclass Model:\n    def predict(self, frame):\n"
        "        return np.zeros(1 << 20)"
    )
    with pytest.raises(PredictionFailed, match="broke off"):
        asked(model, 1)


# ---- packing ----------------------------------------------------------------------------------


def test_code_is_run_only_for_who_says_that_it_is_trusted(tmp_path: Path) -> None:
    """Without --trust-code not one line of it runs."""
    trace = tmp_path / "ran"
    path = written(tmp_path, f"open({str(trace)!r}, 'w')\ndef predict(frame): return {ANSWER}")
    with pytest.raises(CodeRefused):
        packed(path.with_name("serving.py:predict"), trust_code=False)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("annotation", "setup"),
    [
        ("", ""),
        (": pd.DataFrame", "import pandas as pd"),
        (": 'pl.DataFrame'", "import polars as pl"),
    ],
)
def test_the_frame_is_what_the_annotation_says(tmp_path: Path, annotation: str, setup: str) -> None:
    """A function gets arrays by name, or the pandas or polars frame that it is annotated with."""
    body = f"{setup}\ndef predict(frame{annotation}):\n    "
    if annotation:
        body += f"assert isinstance(frame, {annotation.strip(': ').strip(chr(39))}), type(frame)\n"
        body += "    assert list(frame.columns) == ['age', 'fee', 'city', 'since']\n    "
    else:
        body += "assert frame['since'].dtype.kind == 'M' and frame['city'].dtype == object\n    "
    path = written(tmp_path, f"{body}return {ANSWER}")
    made = packed(path.with_name("serving.py:predict"))
    assert made.parity is None
    assert made.spec.format == "python"
    assert made.spec.classes == ("no", "yes")
    model = reload(made.spec, made.files)
    expected = SAMPLE["age"] / 100
    np.testing.assert_array_equal(model.predict(SAMPLE), np.column_stack([1 - expected, expected]))
    model.close()


def test_missing_values_arrive_as_missing(tmp_path: Path) -> None:
    """A missing number is NaN in arrays and pandas and null in polars, a missing string None."""
    body = """
import polars as pl
class Model:
    def predict(self, frame: pl.DataFrame):
        assert frame["fee"].null_count() == 10 * len(frame) / 40 or len(frame) == 1
        assert frame["city"].null_count() == 13 or len(frame) == 1
        return frame["age"].to_numpy() / 100
"""
    packed(written(tmp_path, body).with_name("serving.py:Model"))


def test_the_probability_is_that_of_the_positive_class(tmp_path: Path) -> None:
    """One column is the probability of model.positive, whichever class that is."""
    path = written(tmp_path, f"def predict(frame): return {ANSWER}").with_name("serving.py:predict")
    assert packed(path, positive="no").spec.classes == ("yes", "no")
    assert packed(path, positive="yes").spec.classes == ("no", "yes")
    with pytest.raises(ModelMismatch, match="none of the target's"):
        packed(path, positive="maybe")


def test_a_folder_brings_its_files_and_its_pins(tmp_path: Path) -> None:
    """Data files lie where the class is told, modules import each other, requirements are kept."""
    from importlib import metadata

    folder = tmp_path / "model"
    written(
        folder,
        "from features import scaled\nimport polars\nclass Model:\n"
        "    def __init__(self, files):\n        self.by = float((files / 'by.txt').read_text())\n"
        "    def predict(self, frame):\n        return scaled(frame['age'], self.by)",
    )
    written(folder, "def scaled(values, by): return values / by", "features.py")
    (folder / "by.txt").write_text("100")
    version = metadata.version("numpy")
    (folder / "requirements.txt").write_text(f"numpy=={version}\n")
    made = packed(folder, entry="serving:Model")
    assert made.spec.library == {"numpy": version, "polars": metadata.version("polars")}
    assert any("pinned as installed here" in note and "polars==" in note for note in made.notes)


def test_an_unpinned_requirement_is_refused_with_its_line(tmp_path: Path) -> None:
    """What is not pinned cannot be had again, so it enters no version."""
    written(tmp_path, f"def predict(frame): return {ANSWER}")
    (tmp_path / "needs.txt").write_text("numpy\n")
    with pytest.raises(ModelFileError) as caught:
        packed(tmp_path, entry="serving:predict", requirements=tmp_path / "needs.txt")
    assert caught.value.problems[0].where.endswith("needs.txt:1")


def test_a_pin_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    """A model cannot be tried with another version than it is published with."""
    written(tmp_path, f"def predict(frame): return {ANSWER}")
    (tmp_path / "requirements.txt").write_text("numpy==1.0.0\n")
    with pytest.raises(MissingPackage, match=r"numpy==1\.0\.0"):
        packed(tmp_path, entry="serving:predict")


def test_a_server_with_other_packages_does_not_load_it(tmp_path: Path) -> None:
    """What was packed with one version of a package is not run with another."""
    made = packed(
        written(tmp_path, f"def predict(frame): return {ANSWER}"), entry="serving:predict"
    )
    other = msgspec.structs.replace(made.spec, library={"numpy": "1.0.0"})
    with pytest.raises(MissingPackage, match=r"numpy==1\.0\.0") as caught:
        reload(other, made.files)
    assert caught.value.next_step == 'pip install "numpy==1.0.0"'


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("np.full(len(frame['age']), np.nan)", "NaN"),
        ("np.full(len(frame['age']), 1.5)", "reach from"),
        ("np.zeros(3)", "of shape"),
        ("np.full((len(frame['age']), 2), 0.4)", "add up"),
        ("np.arange(len(frame['age'])) / 1000", "alone"),
        ("np.random.default_rng().random(len(frame['age']))", "alone"),
    ],
)
def test_answers_that_are_no_predictions_are_refused(tmp_path: Path, answer: str, why: str) -> None:
    """NaN, no probabilities, another shape, and what depends on the company or on chance."""
    path = written(tmp_path, f"def predict(frame): return {answer}")
    with pytest.raises(ModelMismatch, match=why):
        packed(path.with_name("serving.py:predict"))


def test_values_are_predicted_too(tmp_path: Path) -> None:
    """In regression one finite value a row is an answer."""
    contract = Contract(
        model="m",
        task=Task.REGRESSION,
        columns=(*CONTRACT.features, Column(name="y", kind=Kind.NUMBER, role=Role.TARGET)),
    )
    path = written(tmp_path, "def predict(frame): return frame['age'] * 2.0")
    made = packed(path.with_name("serving.py:predict"), contract=contract)
    assert made.spec.classes == ()
    assert packed(path.with_name("serving.py:predict"), contract=contract).files == made.files
