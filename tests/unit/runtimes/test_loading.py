"""Runtimes are found by entry point, and libraries must be the ones that were proved."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from shipway.domain.metrics import Task
from shipway.domain.model import ModelSpec
from shipway.errors import MissingPackage
from shipway.runtimes.loading import ENTRY_POINTS, load_model
from shipway.runtimes.versions import check_version, installed


def _spec(format_: str, **library: str) -> ModelSpec:
    return ModelSpec(
        format=format_, task=Task.REGRESSION, inputs=(), main_file="m", library=library
    )


def test_the_built_in_runtimes_use_the_same_door() -> None:
    """What ships is found the way a plug-in is."""
    names = {one.name for one in metadata.entry_points(group=ENTRY_POINTS)}
    assert names >= {"onnx", "sklearn", "lightgbm", "xgboost"}


def test_a_format_without_a_runtime_is_a_missing_package() -> None:
    """An unknown format names those that there are."""
    with pytest.raises(MissingPackage, match=r"no runtime for 'torch'.*onnx"):
        load_model(_spec("torch"), {"m": Path("m")})


def test_a_native_model_wants_the_release_that_it_was_proved_with() -> None:
    """Another feature release is refused, another patch release is not."""
    here = installed(("lightgbm",))["lightgbm"]
    major, minor, *_ = here.split(".")
    check_version(_spec("lightgbm", lightgbm=f"{major}.{minor}.99"), "lightgbm", "lightgbm")
    with pytest.raises(MissingPackage, match=r"proved with lightgbm 1\.0\.0") as caught:
        check_version(_spec("lightgbm", lightgbm="1.0.0"), "lightgbm", "lightgbm")
    assert "lightgbm==1.0.0" in caught.value.next_step


def test_a_library_that_is_not_there_is_named_with_its_extra() -> None:
    """The line to install is the extra's."""
    with pytest.raises(MissingPackage, match="no-such-library") as caught:
        check_version(_spec("x"), "no-such-library", "sklearn")
    assert caught.value.next_step == 'pip install "shipway[sklearn]"'


def test_versions_are_told_of_what_is_there() -> None:
    """XGBoost goes by two names; what is not installed is left out."""
    found = installed(("xgboost", "numpy", "no-such-library"))
    assert set(found) == {"xgboost", "numpy"}
