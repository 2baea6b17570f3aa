"""One prediction worker: ``python -m shipway.bootstrap.worker``, started by the supervisor."""

from __future__ import annotations

import sys

from shipway.bootstrap.processes import ProcessPlan, run_child
from shipway.bootstrap.routing import open_routing
from shipway.domain.events import Losses
from shipway.monitoring.journal import Journal
from shipway.serving.child import Child
from shipway.serving.worker import WorkerOptions, run_worker


def main() -> int:
    """Serve until drained; the exit code is the worker's."""
    return run_child("worker", _serve)


def _serve(child: Child, plan: ProcessPlan) -> int:
    options = WorkerOptions(
        run=plan.run,
        authentication=plan.serve.authentication,
        limits=plan.limits,
        drain_wait_s=plan.serve.drain_wait_s,
        drain_timeout_s=plan.serve.drain_timeout_s,
    )
    with Journal(plan.home_path / "events", child.name) as journal:
        return run_worker(
            child,
            open_source=lambda: open_routing(plan.home_path, plan.keys_file),
            sink=journal,
            options=options,
            losses=lambda: Losses(journal.status.lost_events, journal.status.last_error),
        )


if __name__ == "__main__":
    sys.exit(main())
