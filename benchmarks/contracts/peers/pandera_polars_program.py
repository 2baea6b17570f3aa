"""pandera on polars: the same rules, as its authors would write them."""

from __future__ import annotations

import sys

import pandera.polars as pa
import polars as pl

from benchmarks.registries.program import obey


def main(path: str) -> None:
    """Read the table at *path*, and check it when asked to."""
    frame = pl.read_parquet(path)
    names = [name for name in frame.columns if name.startswith("n")]
    categories = sorted(frame[names[0]].unique().to_list())
    schema = pa.DataFrameSchema(
        {
            name: pa.Column(str, pa.Check.isin(categories))
            if name in names
            else pa.Column(float, pa.Check.in_range(0.0, 100.0), nullable=int(name[1:]) % 4 == 0)
            for name in frame.columns
        }
    )
    obey({"check": lambda _: schema.validate(frame, lazy=True).height})


if __name__ == "__main__":
    main(sys.argv[1])
