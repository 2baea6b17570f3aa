"""The process of a trial: ``python -P -m shipway.bootstrap.trial``, started by ``trials`` alone.

It verifies, loads and warms up one version as a worker would, and reports how that went in one
JSON document. Whatever the version does to its process, it does here, where nobody is served. It
is given the version and finds its files in the cache: nothing here could open the store.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import closing
from pathlib import Path

import msgspec

from shipway.bootstrap.predictors import predictor_of
from shipway.errors import PredictionFailed, Problem, ShipwayError
from shipway.inference.predictor import Pace
from shipway.registry.current import cached_versions
from shipway.registry.records import Version
from shipway.runtimes.confinement import confine
from shipway.runtimes.port import ProcessLimits
from shipway.security.trust import DEFAULT_TRUST, TrustPolicy

_log = logging.getLogger(__name__)


class TrialOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be tried out, and what is granted to it."""

    home: str
    version: Version
    limits: ProcessLimits
    trust: TrustPolicy = DEFAULT_TRUST
    opened_in: str = ""


class TrialReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a trial went: the ``pace`` of a version that got through, or the error's parts."""

    pace: Pace | None = None
    code: str = ""
    message: str = ""
    next_step: str = ""
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of_error(cls, error: ShipwayError) -> TrialReport:
        """The report of a version that failed with *error*."""
        return cls(
            code=error.code,
            message=error.message,
            next_step=error.next_step,
            problems=error.problems,
        )


def main() -> int:
    """Try out what the first descriptor says, and report to the second."""
    ordered, report_to, watched = map(int, sys.argv[1:4])
    with os.fdopen(ordered, "rb") as file:
        order = msgspec.json.decode(file.read(), type=TrialOrder)
    confine(watched, memory_bytes=order.limits.memory_bytes)
    report = _try(order)
    with os.fdopen(report_to, "wb") as file:
        file.write(msgspec.json.encode(report))
    return 0


def _try(order: TrialOrder) -> TrialReport:
    ref = order.version.ref
    try:
        files = cached_versions(Path(order.home), order.trust, order.opened_in)
        with closing(predictor_of(files, order.version, limits=order.limits)) as predictor:
            return TrialReport(pace=predictor.warm_up())
    except ShipwayError as error:
        return TrialReport.of_error(error)
    except Exception as error:  # an outermost loop: a model's library may raise anything
        _log.exception("%s failed in its trial", ref)
        return TrialReport.of_error(raised(ref, error))


def raised(ref: str, error: Exception) -> PredictionFailed:
    """The error for *error*, which a library raised while *ref* was loaded or warmed up."""
    return PredictionFailed(
        f"loading {ref} raised {type(error).__name__}: {error}",
        next_step="promote another version; see the server's log",
    )


if __name__ == "__main__":
    sys.exit(main())
