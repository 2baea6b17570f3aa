"""Pickles are opened by one function, for those who trust them."""

from __future__ import annotations

import pickle

import pytest

from shipway.errors import MissingPackage, ModelFileError, PickleRefused
from shipway.runtimes.unpickling import unpickle


def _global(module: str, name: str) -> bytes:
    """A pickle that asks for nothing but *name* of *module*."""
    return b"\x80\x02c" + module.encode() + b"\n" + name.encode() + b"\n."


def test_a_pickle_is_refused_unless_trusted() -> None:
    """Without trust no byte is opened, and the message says what opening would mean."""
    with pytest.raises(PickleRefused, match="runs whatever code") as caught:
        unpickle(b"not even a pickle", "m.joblib", trusted=False)
    assert "--trust-pickle" in caught.value.next_step


def test_a_trusted_pickle_is_opened() -> None:
    """With trust the object is there."""
    assert unpickle(pickle.dumps([1, 2]), "m.pkl", trusted=True) == ([1, 2], ())


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("no_such_module.inner", "pip install no_such_module; if"),
        ("imblearn.over_sampling", "pip install imbalanced-learn"),
    ],
)
def test_a_missing_package_is_named_with_its_line(module: str, line: str) -> None:
    """A class in a package that is not there gives the package and how to install it."""
    with pytest.raises(MissingPackage, match=module.split(".", maxsplit=1)[0]) as caught:
        unpickle(_global(module, "Thing"), "m.pkl", trusted=True)
    assert line in caught.value.next_step


def test_a_class_of_a_notebook_is_explained() -> None:
    """A class that was defined in __main__ gives advice, not an AttributeError."""
    with pytest.raises(ModelFileError, match="script or notebook") as caught:
        unpickle(_global("__main__", "MyScaler"), "m.pkl", trusted=True)
    assert "module" in caught.value.next_step


def test_a_class_that_moved_is_explained() -> None:
    """A name that the installed release lacks points to versions."""
    with pytest.raises(ModelFileError, match="does not fit the packages") as caught:
        unpickle(_global("collections", "Vanished"), "m.pkl", trusted=True)
    assert "versions" in caught.value.next_step


@pytest.mark.parametrize("data", [b"\x80\x04", pickle.dumps(list(range(99)))[:40], b"\x80\x04zz."])
def test_a_damaged_pickle_is_an_error_of_the_file(data: bytes) -> None:
    """Whatever unpickling raises becomes one error of the file."""
    with pytest.raises(ModelFileError):
        unpickle(data, "m.pkl", trusted=True)
