"""One table from error to status, and what is told."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from shipway import errors
from shipway.errors import Problem, ShipwayError
from shipway.serving.children import backoff_s
from shipway.serving.http.responses import Refusal, refusal_headers
from shipway.serving.statuses import error_body, http_status


def documented() -> Iterator[tuple[str, int]]:
    """Classes and their HTTP statuses, as the tree at the top of ``errors.py`` draws them."""
    for line in (errors.__doc__ or "").splitlines():
        found = re.search(r"─ (\w+) .*HTTP (\d+)", line)
        if found:
            yield found[1], int(found[2])


def make(name: str) -> ShipwayError:
    kind: type[ShipwayError] = getattr(errors, name)
    return kind("it happened", next_step="mend it")


@pytest.mark.parametrize(("name", "status"), list(documented()))
def test_as_documented(name: str, status: int) -> None:
    """Each error has the status that its tree promises."""
    assert http_status(make(name)) == status


def test_what_is_below_inherits() -> None:
    """A class without an entry has the status of the nearest one above it."""
    assert http_status(make("PredictionFailed")) == 500
    assert http_status(make("NotEnoughData")) == 422
    assert http_status(make("PortInUse")) == 503
    assert http_status(make("ShipwayError")) == 500


def test_body() -> None:
    """An error is told with its code, its next step and every problem."""
    error = errors.ContractViolated(
        "wrong", next_step="mend", problems=[Problem("c", "m", "row 1, column x", "h")]
    )
    assert error_body(error) == {
        "error": "wrong",
        "code": "contract.violated",
        "next": "mend",
        "problems": [{"code": "c", "message": "m", "where": "row 1, column x", "hint": "h"}],
    }


def test_headers_of_refusals() -> None:
    """A 503 says when to come back, a 401 what to bring; both in whole words of HTTP."""
    overloaded = errors.Overloaded("full", next_step="wait", retry_after_s=7)
    assert refusal_headers(Refusal(overloaded)) == b"Retry-After: 7\r\n"
    away = errors.StoreError("away", next_step="wait")
    assert refusal_headers(Refusal(away)) == b"Retry-After: 1\r\n"
    nobody = errors.NotAuthenticated("no key", next_step="bring one")
    assert refusal_headers(Refusal(nobody)) == b'WWW-Authenticate: Bearer realm="shipway"\r\n'


def test_backoff() -> None:
    """Who was ready is replaced at once; a crash loop is slowed down, with an end to it."""
    waits = [backoff_s(deaths) for deaths in range(40)]
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert waits[-1] == 30
