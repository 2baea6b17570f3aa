"""A run: every server in its turn, alone on its core, under each load that is asked for."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.serving import bars, environments, sites
from benchmarks.serving.faults import Unmeasured
from benchmarks.serving.kinds import Kind, Model, make
from benchmarks.serving.lineup import PEERS, SHIPWAY, UNGUARDED, Peer
from benchmarks.serving.load import Loaded, cores, missing
from benchmarks.serving.results import Case, Facts, Measured, Results, Wire
from benchmarks.serving.sites import Site

_SIZES = ((1, 1), (1, 32), (32, 1), (32, 32))


@dataclass(frozen=True, slots=True)
class Plan:
    """How thorough a run is: how long each load lasts and how often; ``quick`` is for bars only."""

    quick: bool
    folder: Path
    say: Callable[[str], None]

    @property
    def seconds(self) -> int:
        """The length of one load."""
        return 1 if self.quick else 3

    @property
    def pairs(self) -> int:
        """How often Shipway with and without guards take turns."""
        return 2 if self.quick else 5

    def turns(self, case: Case) -> int:
        """How often *case* is measured; the best counts."""
        return 2 if case == bars.BUSY else 1

    def cases(self, server: str, kind: Kind, wires: Sequence[Wire]) -> list[Case]:
        """What to measure of *server* with one model."""
        if self.quick:
            return [case for who, case in bars.needed() if who == server and case.kind == kind]
        return [Case(kind, wire, *sizes) for wire in wires for sizes in _SIZES]


def run(plan: Plan) -> Results:
    """All of it: Shipway first, then each peer that is there; raises Unmeasured without wrk."""
    if how := missing("wrk"):
        raise Unmeasured(how)
    plan.say("Training and packing the two models …")
    models = make(plan.folder, tuple(Kind), quick=plan.quick)
    results = Results(machine=_machine())
    for kind in Kind:
        _measure_shipway(plan, results, models[kind])
    for peer in PEERS:
        _measure_peer(plan, results, peer, models)
    return results


def install(say: Callable[[str], None]) -> None:
    """Make every peer's environment; one that cannot be made is told and left out."""
    for peer in PEERS:
        try:
            environments.install(peer.shares or peer.name, say)
        except Unmeasured as reason:
            say(f"{peer.title}: {reason}")


def _measure_shipway(plan: Plan, results: Results, model: Model) -> None:
    cases = plan.cases(SHIPWAY, model.kind, tuple(Wire))
    with (
        _reasons(results, SHIPWAY, cases),
        sites.shipway(model, _folder(plan, SHIPWAY, model.kind)) as site,
    ):
        _measure(plan, results, SHIPWAY, cases, site)
        if model.kind is Kind.NUMERIC:
            _compare_guards(plan, results, model, site)


def _measure_peer(plan: Plan, results: Results, peer: Peer, models: dict[Kind, Model]) -> None:
    for kind in peer.kinds:
        cases = plan.cases(peer.name, kind, peer.wires)
        if not cases:
            continue
        with (
            _reasons(results, peer.name, cases),
            sites.peer(peer, models[kind], _folder(plan, peer.name, kind)) as site,
        ):
            _measure(plan, results, peer.name, cases, site)


@contextmanager
def _reasons(results: Results, server: str, cases: Sequence[Case]) -> Iterator[None]:
    """A row with the reason for each of *cases* that the block did not come to."""
    try:
        yield
    except Unmeasured as error:
        known = {one.case for one in results.measured if one.server == server}
        results.measured += [
            Measured(server=server, case=case, reason=str(error))
            for case in cases
            if case not in known
        ]


def _measure(plan: Plan, results: Results, server: str, cases: Sequence[Case], site: Site) -> None:
    """Put *server* under each of *cases*; one that fails is a row with the reason."""
    plan.say(f"{server}, {cases[0].kind} …")
    site.warm_up(cases[0])
    for case in cases:
        turns = partial(_best, site, case, plan.seconds, plan.turns(case))
        results.measured.append(_row(server, case, turns))
    facts = Facts(
        server=server,
        kind=cases[0].kind,
        memory_mb=site.running.memory_mb(),
        worker_mb=site.worker_mb(),
        first_answer_s=site.running.first_answer_s,
    )
    results.facts.append(facts)


def _best(site: Site, case: Case, seconds: int, turns: int) -> Loaded:
    """The best of several turns: whatever else the machine does only ever slows down."""
    done = [site.measure(case, seconds) for _ in range(turns)]
    return max(done, key=lambda one: one.per_second)


def _row(server: str, case: Case, measure: Callable[[], Loaded]) -> Measured:
    try:
        done = measure()
    except Unmeasured as error:
        return Measured(server=server, case=case, reason=str(error))
    return Measured(
        server=server,
        case=case,
        per_second=done.per_second,
        p50_ms=done.p50_ms,
        p99_ms=done.p99_ms,
    )


def _compare_guards(plan: Plan, results: Results, model: Model, guarded: Site) -> None:
    """Shipway with and without guards, both running, in turns: their difference is small."""
    plan.say(f"{SHIPWAY} against {UNGUARDED} …")
    case, folder = bars.BUSY, _folder(plan, UNGUARDED, model.kind)
    copy = model.copied_to(folder / "project")
    with (
        _reasons(results, UNGUARDED, [case]),
        sites.shipway(copy, folder, guarded=False) as unguarded,
    ):
        unguarded.warm_up(case)
        pairs = [
            (guarded.measure(case, plan.seconds), unguarded.measure(case, plan.seconds))
            for _ in range(plan.pairs)
        ]
        best = [max(side, key=lambda one: one.per_second) for side in zip(*pairs, strict=True)]
        results.guards = (best[0].per_second, best[1].per_second)
        results.measured.append(_row(UNGUARDED, case, lambda: best[1]))


def _folder(plan: Plan, server: str, kind: Kind) -> Path:
    folder = plan.folder / server.replace(" ", "-") / kind
    folder.mkdir(parents=True)
    return folder


def _machine() -> str:
    """The processor, and which of its cores did what."""
    name = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    server, load = cores()
    alone = "on the only core" if server == load else f"server on core {server}, load on {load}"
    return f"{name}, {os.cpu_count()} cores; {alone}; Python {platform.python_version()}"
