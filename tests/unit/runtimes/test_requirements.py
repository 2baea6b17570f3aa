"""What a model's own code needs is pinned exactly, or its line is refused."""

from __future__ import annotations

from importlib import metadata

import pytest

from shipway.errors import MissingPackage, ModelFileError
from shipway.runtimes.requirements import check_installed, imported, read_requirements


def test_what_pip_writes_is_read() -> None:
    """Comments, hashes, continued lines, extras and markers are read as pip reads them."""
    text = """
# made by a tool
numpy==2.1.0 \\
    --hash=sha256:aaaa \\
    --hash=sha256:bbbb
Scikit_Learn==1.7.1  # via the project
uvicorn[standard]==0.35.0
pywin32==308 ; sys_platform == "win32"
tomli==2.0.1 ; python_version >= "3.8"
"""
    assert read_requirements(text, "requirements.txt") == {
        "numpy": "2.1.0",
        "scikit-learn": "1.7.1",
        "uvicorn[standard]": "0.35.0",
        "tomli": "2.0.1",
    }


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("numpy", "leaves the version open"),
        ("numpy>=2", "leaves the version open"),
        ("numpy==2.*", "leaves the version open"),
        ("numpy==2.1,!=2.2", "leaves the version open"),
        ("numpy @ file:///tmp/numpy.whl", "leaves the version open"),
        ("-r other.txt", "option of pip"),
        ("--index-url x", "option of pip"),
        ("./local", "is no requirement"),
    ],
)
def test_what_pins_nothing_is_refused_with_its_line(line: str, why: str) -> None:
    """Every line that does not pin is named with its number, all of them at once."""
    with pytest.raises(ModelFileError) as caught:
        read_requirements(f"polars==1.0.0\n\n{line}\npandas\n", "r.txt")
    first, second = caught.value.problems
    assert (first.where, second.where) == ("r.txt:3", "r.txt:4")
    assert why in first.message


def test_two_versions_of_one_package_contradict() -> None:
    """A package that is pinned twice to different versions is refused."""
    with pytest.raises(ModelFileError) as caught:
        read_requirements("numpy==2.1.0\nnumpy==2.2.0\n", "r.txt")
    assert "contradicts numpy==2.1.0" in caught.value.problems[0].message


def test_what_is_imported_is_pinned_as_installed() -> None:
    """Imports of installed packages become pins; Python's own, the code's own and the unknown do
    not."""
    modules = {
        "serving.py": b"import os, numpy.linalg\nfrom features import age\nimport no_such_thing\n",
        "features/__init__.py": b"def f():\n    import polars\n",
    }
    assert imported(modules) == {
        "numpy": metadata.version("numpy"),
        "polars": metadata.version("polars"),
    }


def test_code_that_is_not_python_is_refused() -> None:
    """A file that does not parse is named."""
    with pytest.raises(ModelFileError, match=r"serving\.py is not Python"):
        imported({"serving.py": b"def f(:\n"})


def test_another_version_is_a_missing_package() -> None:
    """What is not installed exactly as pinned is listed, with the one line that installs it."""
    check_installed({"numpy": metadata.version("numpy")})
    with pytest.raises(MissingPackage, match=r"numpy==0\.1 \(.* installed\)") as caught:
        check_installed({"numpy": "0.1", "no-such-thing": "1.0"})
    assert "no-such-thing==1.0 (not installed)" in caught.value.message
    assert caught.value.next_step == 'pip install "no-such-thing==1.0" "numpy==0.1"'
