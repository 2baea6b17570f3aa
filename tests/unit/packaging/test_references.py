"""Image references enter a Dockerfile, so nothing but a reference gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.errors import UsageError
from shipway.packaging.references import check_base_image, check_tag

DIGEST = "sha256:" + "0a" * 32

HOSTILE = [
    "",
    " ",
    "python:3.11-slim\nRUN touch /owned",
    "python:3.11-slim\r\nONBUILD RUN id",
    "python:3.11-slim AS x",
    "python:3.11;id",
    "python:$(id)",
    "python:${HOME}",
    "python:`id`",
    "{{ 7*7 }}:1",
    "--platform=x python:3",
    "-f:1",
    "../etc/passwd:1",
    "/abs:1",
    "Python:3.11",
    "python:3.11-slim ",
    "python:3.11#x",
    "python@sha256:abc",
    "python:" + "a" * 129,
    "pythön:3",
    "python:3.11\x00",
    "python:3.11\u2028RUN id",
    "a" * 600 + ":1",
]


@pytest.mark.parametrize(
    "reference",
    [
        "python:3.11-slim",
        "localhost/shipway-test-base:bookworm",
        "registry.example:5000/team/base_image.x:1.2",
        f"python@{DIGEST}",
        f"python:3.11-slim@{DIGEST}",
        f"python:latest@{DIGEST}",
    ],
)
def test_reference_accepted(reference: str) -> None:
    """A base image that names one image for good is taken as it is."""
    assert check_base_image(reference) == reference


@pytest.mark.parametrize("reference", HOSTILE)
def test_hostile_reference_refused(reference: str) -> None:
    """Nothing outside the grammar of references reaches a Dockerfile or a command line."""
    with pytest.raises(UsageError):
        check_base_image(reference)
    with pytest.raises(UsageError):
        check_tag(reference)


@pytest.mark.parametrize("reference", ["python", "python:latest", "localhost/x"])
def test_moving_base_refused(reference: str) -> None:
    """A base image that would be another one tomorrow is refused, and the message says why."""
    with pytest.raises(UsageError, match="every time it is built"):
        check_base_image(reference)


@pytest.mark.parametrize("tag", ["x", "x:latest", f"x@{DIGEST}"])
def test_tag_must_be_its_own(tag: str) -> None:
    """An image is built under a name with a tag that says which one it is."""
    with pytest.raises(UsageError, match="tag of its own"):
        check_tag(tag)


@given(st.text(max_size=60))
def test_accepted_text_is_inert(text: str) -> None:
    """Whatever is accepted holds no space, quote, dollar, control or non-ASCII character."""
    try:
        accepted = check_base_image(f"base{text}")
    except UsageError:
        return
    assert all(c.isascii() and (c.isalnum() or c in "._-/:@") for c in accepted)
