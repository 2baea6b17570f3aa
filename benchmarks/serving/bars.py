"""The bars that Shipway has to reach, as ratios within one run: machines come and go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.figure import Better
from benchmarks.serving.kinds import Kind
from benchmarks.serving.lineup import SHIPWAY
from benchmarks.serving.results import Case, Facts, Results, Wire

LONE = Case(Kind.NUMERIC, Wire.JSON, 1, 1)
BUSY = Case(Kind.NUMERIC, Wire.JSON, 1, 32)
ROWS = Case(Kind.NUMERIC, Wire.JSON, 32, 32)
BINARY = Case(Kind.NUMERIC, Wire.BINARY, 32, 32)
GRPC = Case(Kind.NUMERIC, Wire.GRPC, 1, 32)
STRINGS = Case(Kind.FLIGHTS, Wire.JSON, 1, 32)

Need = tuple[str, Case]


@dataclass(frozen=True, slots=True)
class Bar:
    """A value to reach; ``value`` is None where the run has not what ``needs`` says."""

    name: str
    bar: float
    better: Better
    value: Callable[[Results], float | None]
    needs: tuple[Need, ...] = ()

    def reached(self, value: float) -> bool:
        """Whether *value* is good enough."""
        return value >= self.bar if self.better == "higher" else value <= self.bar


def bars() -> Iterator[Bar]:
    """Every bar."""
    yield _ratio("1 row x 32 connections, times mosec", 1.4, BUSY, ("mosec", BUSY))
    yield _ratio("1 row x 32 connections, times FastAPI", 8.0, BUSY, ("fastapi", BUSY))
    yield _ratio("1 row x 32 connections, times MLServer", 40.0, BUSY, ("mlserver", BUSY))
    yield _ratio("1 row x 1 connection, times FastAPI", 1.5, LONE, ("fastapi", LONE))
    yield _ratio("flights with strings, times MLflow", 10.0, STRINGS, ("mlflow", STRINGS))
    yield _ratio("32 rows, binary times our JSON", 1.5, BINARY, (SHIPWAY, ROWS))
    yield _ratio("gRPC, times MLServer's gRPC", 3.0, GRPC, ("mlserver", GRPC))
    yield Bar("guards, share of speed", 0.25, "lower", _guards)
    yield Bar("start to first answer, seconds", 1.5, "lower", _fact(lambda f: f.first_answer_s))
    yield Bar("memory of a worker, MB", 130.0, "lower", _fact(lambda f: f.worker_mb))


def needed() -> list[Need]:
    """What must be measured for all bars, each once."""
    return list(dict.fromkeys(need for bar in bars() for need in bar.needs))


def document(results: Results) -> dict[str, dict[str, float | str]]:
    """Each bar that *results* tell of, as ``--json`` prints it."""
    told: dict[str, dict[str, float | str]] = {}
    for bar in bars():
        value = bar.value(results)
        if value is not None:
            told[bar.name] = {"value": round(value, 4), "bar": bar.bar, "better": bar.better}
    return told


def _ratio(name: str, bar: float, ours: Case, theirs: Need) -> Bar:
    def value(results: Results) -> float | None:
        numerator, denominator = results.rate(SHIPWAY, ours), results.rate(*theirs)
        return None if numerator is None or denominator is None else numerator / denominator

    return Bar(name, bar, "higher", value, ((SHIPWAY, ours), theirs))


def _guards(results: Results) -> float | None:
    if results.guards is None:
        return None
    guarded, open_to_all = results.guards
    return 1 - guarded / open_to_all


def _fact(read: Callable[[Facts], float]) -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        facts = results.facts_of(SHIPWAY, Kind.NUMERIC)
        return None if facts is None else read(facts)

    return value
