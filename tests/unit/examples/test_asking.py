"""The flights as requests: none twice, none forgotten, none of two airports together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from shipway.examples.flights.asking import infer_request, requests_of
from shipway.examples.flights.data import CATEGORIES, FEATURES, SCHEDULE, TARGET, TIME


def flights(count: int) -> pl.DataFrame:
    """*count* flights, one every ten minutes, of two airports in turn."""
    start = datetime(2013, 4, 1, 23, 30, tzinfo=UTC)
    columns: dict[str, Any] = {
        name: [f"{name}{n % 2}" for n in range(count)] for name in CATEGORIES
    }
    columns |= {name: list(range(count)) for name in SCHEDULE}
    columns |= {
        name: [None if n == 1 else n / 2 for n in range(count)]
        for name in FEATURES
        if name not in columns
    }
    columns[TIME] = [start + timedelta(minutes=10 * n) for n in range(count)]
    columns[TARGET] = [None if n == 2 else n % 2 for n in range(count)]
    schema = {TIME: pl.Datetime("us", "UTC")}
    return pl.DataFrame(columns, schema_overrides=schema).sort(TIME)


def data_of(body: bytes) -> dict[str, list[Any]]:
    """The columns of a request."""
    return {one["name"]: one["data"] for one in msgspec.json.decode(body)["inputs"]}


def test_every_flight_is_asked_about_once_with_its_truth() -> None:
    """All flights are in the requests, each beside its own moment and truth."""
    rows = flights(20)
    asked = list(requests_of(rows, 2))
    found = {
        distance: (moment, truth)
        for one in asked
        for distance, moment, truth in zip(
            data_of(one.body)["distance"], one.moments, one.truths, strict=True
        )
    }
    assert len(found) == sum(len(one.moments) for one in asked) == rows.height
    expected = zip(rows["distance"], rows[TIME], rows[TARGET], strict=True)
    assert found == {distance: (moment, truth) for distance, moment, truth in expected}


def test_a_request_is_of_one_airport_in_one_hour_and_small_enough() -> None:
    """No request mixes airports or hours, and none has more rows than allowed."""
    asked = list(requests_of(flights(20), 2))
    assert [one.hour for one in asked] == sorted(one.hour for one in asked)
    for one in asked:
        assert 0 < len(one.moments) <= 2
        assert len(set(data_of(one.body)["origin"])) == 1
        assert {moment.replace(minute=0) for moment in one.moments} == {one.hour}


def test_the_request_of_a_table_is_that_of_its_flights() -> None:
    """One request made of a table is byte for byte the one that the year would send."""
    rows = flights(1)
    assert infer_request(rows) == next(requests_of(rows, 1)).body
    shapes = {tuple(one["shape"]) for one in msgspec.json.decode(infer_request(rows))["inputs"]}
    assert shapes == {(1,)}
