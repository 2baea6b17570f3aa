"""The control plane's process: ``python -m shipway.bootstrap.control``, and its services."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shipway.bootstrap.admission import admitting
from shipway.bootstrap.housekeeping import Housekeeping
from shipway.bootstrap.keys import all_keys, read_keys_file
from shipway.bootstrap.predictors import contract_of
from shipway.bootstrap.processes import ProcessPlan, run_child
from shipway.bootstrap.trials import Trials, opponent
from shipway.domain.events import Label
from shipway.domain.times import Clock, system_clock
from shipway.errors import EnvironmentFailure, UsageError
from shipway.monitoring.alerts import alerts_path, load_state
from shipway.monitoring.labels import LabelLog
from shipway.monitoring.window import time_columns
from shipway.registry.current import open_current
from shipway.registry.records import EndpointChange, EndpointState, Version
from shipway.registry.registry import Registry
from shipway.rollout import switch
from shipway.runtimes.port import DEFAULT_LIMITS, ProcessLimits
from shipway.security.keys import KeyRecord
from shipway.security.trust import DEFAULT_TRUST, TrustPolicy
from shipway.serving.child import Child
from shipway.serving.control import ControlOptions, Move, run_control
from shipway.serving.status import wait_for_workers


@dataclass(frozen=True, slots=True)
class Services:
    """What the control plane's routes do, over one store."""

    registry: Registry
    labels: LabelLog
    run: Path
    model: str
    limits: ProcessLimits = DEFAULT_LIMITS
    trust: TrustPolicy = DEFAULT_TRUST
    clock: Clock = system_clock

    def status(self) -> dict[str, object]:
        """What the store holds beside what the server tells of itself."""
        return {
            "model": self.model,
            "versions": len(self.registry.versions(self.model)),
            "alerts": load_state(alerts_path(self.run.parent)).open,
        }

    def endpoints(self) -> Sequence[EndpointState]:
        """Every endpoint with its live version."""
        return self.registry.endpoints()

    def versions(self, model: str | None) -> Sequence[Version]:
        """The versions of *model*, or of the project's model."""
        return self.registry.versions(model or self.model)

    def history(self, endpoint: str) -> Sequence[EndpointChange]:
        """Every change of *endpoint*, oldest first."""
        return self.registry.history(endpoint)

    def add_labels(self, labels: Sequence[Label], *, by: str) -> int:
        """Keep *labels*; they are on disk when this returns."""
        self.labels.append(labels)
        return len(labels)

    def move(self, move: Move) -> EndpointState:
        """Promote or roll back, and wait until every worker answers accordingly."""
        registry = self.registry
        model = self._model_of(move.endpoint)
        order = switch.Order(
            endpoint=move.endpoint,
            by=move.by,
            now=self.clock(),
            reason=move.reason,
            expected=move.expected,
        )
        trials = Trials(self.run.parent, self.limits, trust=self.trust)
        chosen = registry.resolve(move.version, model) if move.version else None
        if move.action == "promote":
            made = switch.promote(
                registry,
                chosen or registry.resolve("latest", model),
                order,
                prove=lambda version: trials.run(
                    registry, version, against=opponent(registry, move.endpoint, version)
                ),
                force=move.force,
            )
        elif move.action == "rollback":
            made = switch.rollback(
                registry,
                model,
                order,
                prove=lambda version: trials.run(registry, version),
                to=chosen,
            )
        else:
            raise UsageError(
                f"{move.action!r} is not something to do to an endpoint",
                next_step="use promote or rollback",
            )
        self._settle(made.state)
        return made.state

    def _settle(self, state: EndpointState) -> None:
        """Return when every worker answers as *state* says; raise if one could not follow."""
        workers = wait_for_workers(self.run, state.endpoint, state.sequence)
        refused = [worker.endpoints[state.endpoint].error for worker in workers]
        errors = sorted({error for error in refused if error})
        if errors:
            raise EnvironmentFailure(
                f"version {state.live} is live on {state.endpoint!r}, but {len(errors)} of"
                f" {len(workers)} workers could not load it: {'; '.join(errors)}",
                next_step="roll back with `shipway rollback`, then look at the server's log",
            )

    def _model_of(self, endpoint: str) -> str:
        state = self.registry.endpoint(endpoint)
        return state.model if state else self.model


def main(arguments: Sequence[str]) -> int:
    """Answer the control plane until told to stop; the exit code is the server's."""
    return run_child("control", _serve, arguments)


def _serve(child: Child, plan: ProcessPlan) -> int:
    mounted = tuple(read_keys_file(plan.keys_file))
    with (
        open_current(plan.home_path, trust=plan.trust) as registry,
        admitting(plan.serve, plan.auth, run=None) as admission,
    ):

        def keys() -> Sequence[KeyRecord]:
            return all_keys(registry, mounted)

        services = Services(
            registry,
            LabelLog(plan.home_path / "labels"),
            run=plan.run,
            model=plan.model,
            limits=plan.process_limits,
            trust=plan.trust,
        )
        options = ControlOptions(
            run=plan.run,
            tls=plan.tls,
            host=plan.serve.control_host,
            drain_timeout_s=plan.serve.drain_timeout_s,
        )
        with Housekeeping(plan.home_path / "events", lambda: _time_columns(registry)):
            return run_control(
                child, services=services, keys=keys, options=options, admission=admission
            )


def _time_columns(registry: Registry) -> dict[str, str]:
    """The column that holds the event time, for each model that has one."""
    contracts = [
        contract_of(registry, registry.version(state.model, state.live))
        for state in registry.endpoints()
        if state.live is not None
    ]
    return time_columns(*contracts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
