"""One prediction worker: ``python -m shipway.bootstrap.worker``, started by the supervisor."""

from __future__ import annotations

import sys

from shipway.bootstrap.processes import read_process_plan
from shipway.bootstrap.routing import open_routing
from shipway.monitoring.journal import Journal
from shipway.serving.child import read_child
from shipway.serving.worker import WorkerOptions, run_worker


def main() -> int:
    """Serve until drained; the exit code is the worker's."""
    child, rest = read_child(sys.argv[1:])
    plan = read_process_plan(rest)
    options = WorkerOptions(
        run=plan.run,
        authentication=plan.serve.authentication,
        limits=plan.limits,
        drain_wait_s=plan.serve.drain_wait_s,
        drain_timeout_s=plan.serve.drain_timeout_s,
    )
    journal = Journal(plan.home_path / "events", child.name)
    try:
        return run_worker(
            child,
            open_source=lambda: open_routing(plan.home_path, plan.keys_file),
            sink=journal,
            options=options,
        )
    finally:
        journal.close()


if __name__ == "__main__":
    sys.exit(main())
