"""What a careful person writes in an hour: FastAPI and uvicorn in front of onnxruntime."""

from __future__ import annotations

from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from scoring import Scorer, arguments


class Rows(BaseModel):
    """Rows of numbers."""

    instances: list[list[float]]


class Columns(BaseModel):
    """Columns of any type."""

    columns: dict[str, list[Any]]


class Scores(BaseModel):
    """A score a row."""

    scores: list[float]


def application(scorer: Scorer) -> FastAPI:
    """The application around *scorer*."""
    app = FastAPI()

    @app.post("/numeric")
    async def numeric(request: Rows) -> Scores:
        return Scores(scores=scorer.rows(request.instances).tolist())

    @app.post("/flights")
    async def flights(request: Columns) -> Scores:
        return Scores(scores=scorer.columns(request.columns).tolist())

    return app


if __name__ == "__main__":
    told = arguments()
    uvicorn.run(
        application(Scorer(told.model)),
        host="127.0.0.1",
        port=told.http_port,
        log_level="warning",
        access_log=False,
    )
