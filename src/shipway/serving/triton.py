"""What Triton's clients ask beside predictions: statistics, configuration, the repository's index.

All of it is read-only. Figures are those of the metrics, summed over the workers, so that the
answer does not depend on the worker that gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from shipway.errors import MalformedRequest
from shipway.serving.counters import read_counters
from shipway.serving.http.exchange import Exchange
from shipway.serving.http.responses import Refusal
from shipway.serving.protocols.oip import encode
from shipway.serving.routes import (
    DESCRIBE,
    GET,
    POST,
    Route,
    Table,
    fixed,
    not_here,
    read_only,
    refused,
)
from shipway.serving.routing import Served

_TYPES = {"BYTES": "TYPE_STRING"}
_OK = "200"


class Triton:
    """The extensions of one server; *metrics* is the folder of the workers' counters."""

    def __init__(self, metrics: Path | None) -> None:
        self._metrics = metrics

    def of_server(self, served: Mapping[str, Served]) -> Table:
        """Routes that name no model."""
        load = refused(read_only(), None, *POST)
        table = {
            b"/v2/models/stats": self._statistics([*served.values()]),
            b"/v2/repository/index": Route(POST, DESCRIBE, partial(_index, _index_of(served))),
        }
        for path in ("trace/setting", "logging"):
            table[f"/v2/{path}".encode()] = _NOT_KEPT
        for kind in ("systemsharedmemory", "cudasharedmemory"):
            for verb in ("status", "unregister"):
                table[f"/v2/{kind}/{verb}".encode()] = _NOT_KEPT
        for name in served:
            for verb in ("load", "unload"):
                table[f"/v2/repository/models/{name}/{verb}".encode()] = load
        return table

    def of_model(self, name: str, served: Served) -> Table:
        """Routes below one model, with and without its version."""
        config = fixed(encode(model_config(served)))
        statistics = self._statistics([served])
        base, number = f"/v2/models/{name}", served.predictor.served.number
        table: Table = {f"{base}/trace/setting".encode(): _NOT_KEPT}
        for stem in (base, f"{base}/versions/{number}"):
            table[f"{stem}/config".encode()] = config
            table[f"{stem}/stats".encode()] = statistics
        return table

    def _statistics(self, served: list[Served]) -> Route:
        return Route(GET, DESCRIBE, partial(self._tell_statistics, served))

    def _tell_statistics(
        self, served: list[Served], exchange: Exchange, _: bytes | bytearray
    ) -> None:
        exchange.answer_json(encode(statistics(served, self._metrics)))


def statistics(served: Iterable[Served], metrics: Path | None) -> dict[str, Any]:
    """What the workers, whose counters are in the folder *metrics*, have counted of *served*."""
    totals = _Totals.read(metrics)
    return {"model_stats": [_model_statistics(one, totals) for one in served]}


class _Totals:
    """What the workers counted, by family and labels."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, tuple[str, ...]], list[float]] = {}

    @classmethod
    def read(cls, folder: Path | None) -> _Totals:
        totals = cls()
        for series in read_counters(folder) if folder is not None else ():
            key = (series.family.name, series.labels)
            before = totals._cells.get(key)
            if before is None:
                totals._cells[key] = list(series.cells)
            else:
                totals._cells[key] = [
                    series.family.combine(pair) for pair in zip(before, series.cells, strict=True)
                ]
        return totals

    def value(self, family: str, labels: tuple[str, ...]) -> float:
        """A counter."""
        return self._cells.get((family, labels), [0.0])[0]

    def duration(self, family: str, labels: tuple[str, ...]) -> dict[str, int]:
        """How often a histogram was observed, and the sum of its seconds."""
        *counts, seconds = self._cells.get((family, labels), [0.0, 0.0])
        return _duration(sum(counts), seconds)

    def failed(self, labels: tuple[str, ...]) -> float:
        """Requests that were not answered with 200."""
        return sum(
            cells[0]
            for (family, found), cells in self._cells.items()
            if family == "shipway_requests_total" and found[:-1] == labels and found[-1] != _OK
        )


def _model_statistics(served: Served, totals: _Totals) -> dict[str, Any]:
    version = served.predictor.served
    labels = (version.endpoint, version.model, str(version.number))
    executed = totals.duration("shipway_batch_duration_seconds", labels)
    none = _duration(0, 0.0)
    last_s = totals.value("shipway_last_request_timestamp_seconds", labels)
    return {
        "name": version.model,
        "version": str(version.number),
        "last_inference": int(last_s * 1000),
        "inference_count": int(totals.value("shipway_rows_total", labels)),
        "execution_count": executed["count"],
        "inference_stats": {
            "success": totals.duration("shipway_request_duration_seconds", labels),
            "fail": _duration(
                totals.failed(labels), totals.value("shipway_failed_seconds_total", labels)
            ),
            "queue": _duration(
                totals.value("shipway_queued_requests_total", labels),
                totals.value("shipway_queue_seconds_total", labels),
            ),
            "compute_input": none,
            "compute_infer": executed,
            "compute_output": none,
            "cache_hit": none,
            "cache_miss": none,
        },
        "batch_stats": [],
    }


def _duration(count: float, seconds: float) -> dict[str, int]:
    return {"count": int(count), "ns": round(seconds * 1e9)}


def model_config(served: Served) -> dict[str, Any]:
    """A version as Triton's model configuration describes one."""
    told = msgspec.json.decode(served.metadata)
    return {
        "name": told["name"],
        "platform": told["platform"],
        "backend": "shipway",
        "max_batch_size": 0,
        "version_policy": {"specific": {"versions": [served.predictor.served.number]}},
        "input": [_config_tensor(tensor) for tensor in told["inputs"]],
        "output": [_config_tensor(tensor) for tensor in told["outputs"]],
        "parameters": {
            name: {"string_value": str(value)} for name, value in told["parameters"].items()
        },
    }


def _config_tensor(tensor: dict[str, Any]) -> dict[str, Any]:
    datatype = tensor["datatype"]
    return {
        "name": tensor["name"],
        "data_type": _TYPES.get(datatype, f"TYPE_{datatype}"),
        "dims": tensor["shape"],
    }


def _index_of(served: Mapping[str, Served]) -> bytes:
    return encode(
        [
            {
                "name": name,
                "version": str(one.predictor.served.number),
                "state": "READY",
                "reason": "",
            }
            for name, one in served.items()
        ]
    )


def _index(index: bytes, exchange: Exchange, body: bytes | bytearray) -> None:
    """Every model that is served; all of them are ready, so ``ready`` leaves none out."""
    try:
        asked = msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        asked = None
    if not isinstance(asked, dict) or not isinstance(asked.get("ready", False), bool):
        error = MalformedRequest(
            "the body is no request for the index", next_step='send {}, or {"ready": true}'
        )
        raise Refusal(error)
    exchange.answer_json(index)


_NOT_KEPT = refused(
    not_here(
        "this server has no such settings: it keeps no traces, and reads no shared memory",
        "see the settings under [serve] in shipway.toml",
    )
)
