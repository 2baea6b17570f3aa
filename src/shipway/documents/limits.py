"""What a version was not shown to do: each sentence follows from a record or from its absence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shipway.contract.schema import Contract, Policy
from shipway.documents.evidence import Gate, latest_gate
from shipway.documents.layout import Points, Section
from shipway.documents.wording import count, plural
from shipway.domain.times import iso
from shipway.evidence.verdict import Judgement, Verdict
from shipway.registry.records import EndpointChange, EvidenceRecord, Version


def limits_section(
    version: Version,
    contract: Contract,
    evidence: Sequence[EvidenceRecord],
    history: Sequence[EndpointChange],
    drift_margin: float | None,
) -> Section:
    """Every limit that the records show."""
    found = latest_gate(evidence)
    sentences = [
        *_tested(found[1] if found else None),
        *_ranges(contract),
        *_agreement(version),
        *_forced(version, history),
        _drift(drift_margin),
        "Effects on groups of people: not recorded beyond the slices that were judged.",
        "Uses for which it must not be taken: not recorded.",
    ]
    return Section("Limits", (Points(tuple(sentences)),))


def _tested(gate: Gate | None) -> Iterator[str]:
    if gate is None:
        yield "It is not recorded on what it was tested, so nothing is known of new data."
        return
    data = gate.data
    if data is None:
        yield "The table on which it was tested is not recorded."
    elif data.time_from and data.time_to:
        yield (
            f"It was tested on {plural(data.rows, 'row')} from {data.time_from} to "
            f"{data.time_to}; nothing is known of other times."
        )
    else:
        yield (
            f"It was tested on {plural(data.rows, 'row')} without a recorded time range; how it "
            "fares as time goes on is not known."
        )
    for one in gate.judgements:
        yield from _not_passed(one)
    slices = {one.measurement.of.split("=", 1)[0] for one in gate.judgements if one.measurement.of}
    if slices:
        yield f"It was judged within each value of {', '.join(sorted(slices))} and no other column."
    else:
        yield "No slices were judged: a good whole may hide a bad part."


def _not_passed(one: Judgement) -> Iterator[str]:
    within = f" within {one.measurement.of}" if one.measurement.of else ""
    held = one.objective.better_than if one.bound == "better_than" else f"{one.target:g}"
    name = f"{one.measurement.metric}{within} ({one.bound.replace('_', ' ')} {held})"
    if one.verdict is Verdict.FAIL:
        yield f"{name} failed."
    elif one.verdict is Verdict.UNDECIDED:
        needed = "" if one.n_needed is None else f"; about {count(one.n_needed)} rows would decide"
        yield f"{name} is undecided on {plural(one.measurement.n, 'row')}{needed}."


def _ranges(contract: Contract) -> Iterator[str]:
    bounded = [c for c in contract.features if c.minimum is not None or c.maximum is not None]
    listed = [c for c in contract.features if c.categories is not None]
    free = [c for c in contract.features if c not in bounded and c not in listed]
    refused = [
        c
        for c in contract.features
        if (c in bounded and c.out_of_range.refuses) or (c in listed and c.unseen.refuses)
    ]
    yield (
        f"The contract has a range for {plural(len(bounded), 'feature')} and a list of values for "
        f"{len(listed)}, from the training data; beyond them the model extrapolates."
    )
    if refused:
        yield f"Requests beyond them are refused for {', '.join(c.name for c in refused)}."
    if len(refused) < len(bounded) + len(listed):
        others = "For the others" if refused else "Beyond them"
        yield f"{others}, requests are answered, counted and warned of."
    mends = ((Policy.IMPUTE, "replaced by that of training"), (Policy.CLIP, "clipped"))
    for policy, done in mends:
        if names := [c.name for c in contract.features if policy in c.policies]:
            yield f"What breaks a rule of {', '.join(names)} may be {done} for the model."
    if free:
        yield f"No range or list of values is recorded for {', '.join(c.name for c in free)}."


def _agreement(version: Version) -> Iterator[str]:
    parity = version.manifest.parity
    if parity is None:
        yield "That the served model equals the trained one is not recorded."
    elif parity.flipped:
        yield (
            f"{plural(parity.flipped, 'decision')} of {count(parity.rows)} differ from those of "
            "the trained model."
        )


def _forced(version: Version, history: Sequence[EndpointChange]) -> Iterator[str]:
    for change in history:
        if change.forced and change.live == version.number:
            yield (
                f"It was put live on {change.endpoint} by force at {iso(change.at)} by "
                f"{change.by}: {change.reason or 'reason not recorded'}."
            )


def _drift(margin: float | None) -> str:
    if margin is None:
        return "From which drift of a feature on it is watched: not recorded."
    return (
        f"A feature counts as moved from a population stability index of {margin:g} on; a "
        "smaller drift is not reported."
    )
