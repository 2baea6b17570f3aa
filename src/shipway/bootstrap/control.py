"""The control plane's process: ``python -m shipway.bootstrap.control``, and its services."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shipway.bootstrap.admission import admitting
from shipway.bootstrap.auditing import Auditing, Tally
from shipway.bootstrap.housekeeping import Housekeeping
from shipway.bootstrap.keys import KeysAtHand, read_keys_file
from shipway.bootstrap.logins import login_of
from shipway.bootstrap.memory import memory_of
from shipway.bootstrap.predictors import contract_of
from shipway.bootstrap.processes import ProcessPlan, run_child
from shipway.bootstrap.trials import Trials, opponent
from shipway.domain.events import Label
from shipway.domain.times import Clock, system_clock
from shipway.errors import EnvironmentFailure, NotFoundError, ShipwayError, UsageError
from shipway.monitoring.alerts import alerts_path, load_state
from shipway.monitoring.labels import LabelLog
from shipway.monitoring.window import time_columns
from shipway.registry.current import open_current
from shipway.registry.records import EndpointChange, EndpointState, Version
from shipway.registry.registry import Registry
from shipway.rollout import switch
from shipway.runtimes.port import DEFAULT_LIMITS, ProcessLimits
from shipway.security.acting import actor_now
from shipway.security.audit import Entry, Outcome
from shipway.security.trust import DEFAULT_TRUST, TrustPolicy
from shipway.serving.child import Child
from shipway.serving.control import ControlOptions, Move, run_control
from shipway.serving.status import wait_for_workers


@dataclass(frozen=True, slots=True)
class Services:
    """What the control plane's routes do, over one store, with the endpoints of one model.

    What a store has of other models is here as if it were not.
    """

    registry: Registry
    labels: LabelLog
    run: Path
    model: str
    tally: Tally
    limits: ProcessLimits = DEFAULT_LIMITS
    two_person: bool = False
    trust: TrustPolicy = DEFAULT_TRUST
    opened_in: str = ""
    clock: Clock = system_clock

    def status(self) -> dict[str, object]:
        """What the store holds beside what the server tells of itself."""
        return {
            "model": self.model,
            "versions": len(self.registry.summaries(self.model)),
            "alerts": load_state(alerts_path(self.run.parent)).open,
        }

    def endpoints(self) -> Sequence[EndpointState]:
        """Every endpoint with its live version."""
        return [state for state in self.registry.endpoints() if state.model == self.model]

    def versions(self, model: str | None) -> Sequence[Version]:
        """The versions of the project's model; none of another one."""
        return self.registry.versions(self.model) if model in (None, self.model) else ()

    def history(self, endpoint: str) -> Sequence[EndpointChange]:
        """Every change of *endpoint*, oldest first."""
        self._check_own(endpoint)
        return self.registry.history(endpoint)

    def add_labels(self, labels: Sequence[Label], *, by: str) -> int:
        """Keep *labels*; they are on disk when this returns."""
        try:
            self.labels.append(labels)
        except ShipwayError as error:
            refused = Entry(what="labels.add", outcome=Outcome.REFUSED, code=error.code)
            self.tally.refused(refused, actor_now())
            raise
        self.tally.add(Entry(what="labels.add", count=len(labels)))
        return len(labels)

    def move(self, move: Move) -> EndpointState:
        """Promote or roll back, and wait until every worker answers accordingly."""
        registry, model = self.registry, self.model
        self._check_own(move.endpoint)
        order = switch.Order(
            endpoint=move.endpoint,
            by=move.by,
            now=self.clock(),
            reason=move.reason,
            expected=move.expected,
            names=move.names,
            two_person=self.two_person,
        )
        trials = Trials(self.run.parent, self.limits, trust=self.trust, opened_in=self.opened_in)
        chosen = self._version(move.version) if move.version else None
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

    def _version(self, reference: str) -> Version:
        named, at, _ = reference.rpartition("@")
        if at and named != self.model:
            raise NotFoundError(
                "there is no such version here", next_step="GET /v1/versions lists them"
            )
        return self.registry.resolve(reference, self.model)

    def _check_own(self, endpoint: str) -> None:
        """Raise the same error for an endpoint of another model as for one that there is not."""
        state = self.registry.endpoint(endpoint)
        if state is None or state.model != self.model:
            raise NotFoundError(
                "there is no such endpoint here",
                next_step="GET /v1/endpoints lists them; `shipway promote` makes a new one",
            )


def main(arguments: Sequence[str]) -> int:
    """Answer the control plane until told to stop; the exit code is the server's."""
    return run_child("control", _serve, arguments)


def _serve(child: Child, plan: ProcessPlan) -> int:
    mounted = tuple(read_keys_file(plan.keys_file))
    with (
        open_current(
            plan.home_path, plan.addresses, trust=plan.trust, keyring=plan.keyring
        ) as registry,
        admitting(plan.serve, plan.auth, run=None) as admission,
        Auditing(registry.trail, plan) as auditing,
    ):
        keys = KeysAtHand(registry, mounted, memory_of(plan.home_path, plan.addresses))
        services = Services(
            registry,
            LabelLog(plan.home_path / "labels", sealer=plan.keyring.sealer()),
            run=plan.run,
            model=plan.model,
            tally=auditing.tally,
            limits=plan.process_limits,
            two_person=plan.two_person,
            trust=plan.trust,
            opened_in=plan.encryption.opened_in,
        )
        login = login_of(
            plan.auth, admission, secure=plan.tls is not None, tell=auditing.tally.refused
        )
        options = ControlOptions(
            run=plan.run,
            refusals=auditing.tally,
            names=plan.serve.control_names,
            tls=plan.tls,
            host=plan.serve.control_host,
            drain_timeout_s=plan.serve.drain_timeout_s,
        )
        housekeeping = Housekeeping(
            plan.home_path / "events",
            lambda: _time_columns(registry),
            encryption=plan.encryption,
        )
        with housekeeping:
            return run_control(
                child,
                services=services,
                keys=keys,
                options=options,
                admission=admission,
                login=login,
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
