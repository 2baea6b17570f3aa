"""One prediction worker: ``python -m shipway.bootstrap.worker``, or forked from the zygote."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from shipway.bootstrap.admission import admitting
from shipway.bootstrap.processes import ProcessPlan, run_child
from shipway.bootstrap.routing import open_routing
from shipway.domain.events import Losses
from shipway.monitoring.journal import Journal
from shipway.serving.child import Child
from shipway.serving.http2.conversation import Manners
from shipway.serving.rpc.options import GrpcOptions
from shipway.serving.worker import WorkerOptions, run_worker


def main(arguments: Sequence[str]) -> int:
    """Serve until drained; the exit code is the worker's."""
    return run_child("worker", _serve, arguments)


def _serve(child: Child, plan: ProcessPlan) -> int:
    behind = plan.serve.platform is not None
    with (
        admitting(plan.serve, plan.auth, run=plan.run, behind_platform=behind) as admission,
        Journal(plan.home_path / "events", child.name, sealer=plan.keyring.sealer()) as journal,
    ):
        return run_worker(
            child,
            open_source=lambda: open_routing(
                plan.home_path,
                plan.keys_file,
                addresses=plan.addresses,
                threads=plan.serve.threads,
                limits=plan.process_limits,
                trust=plan.trust,
                keyring=plan.keyring,
            ),
            sink=journal,
            options=WorkerOptions(
                run=plan.run,
                admission=admission,
                doors=plan.doors,
                limits=plan.limits,
                tls=plan.tls,
                tls_handshake_timeout_s=plan.serve.tls_handshake_timeout_s,
                grpc=GrpcOptions(
                    max_calls=plan.serve.grpc_max_calls,
                    manners=Manners(max_streams=plan.serve.grpc_max_streams),
                ),
                drain_wait_s=plan.serve.drain_wait_s,
                drain_timeout_s=plan.serve.drain_timeout_s,
            ),
            losses=lambda: Losses(journal.status.lost_events, journal.status.last_error),
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
