"""The records of one version, whole, with every text in them replaceable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest

from shipway.contract.schema import Column, Contract, Policy, Role
from shipway.documents.card import Card, render_card
from shipway.domain.metrics import Task
from shipway.domain.model import InputSpec, Kind, ModelSpec, Parity
from shipway.domain.objectives import Costs, Objective, Objectives, Reference
from shipway.evidence.verdict import Judgement, Measurement, Verdict
from shipway.registry.records import (
    CodeRecord,
    DataRecord,
    EndpointChange,
    EvidenceRecord,
    FileEntry,
    Lineage,
    Manifest,
    Version,
)

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
DIGEST = "sha256:" + "ab" * 32


def contract_with(text: Callable[[str], str]) -> Contract:
    return Contract(
        model="flight-delay",
        task=Task.BINARY,
        rows=80_000,
        description=text("Flights from New York in 2013"),
        columns=(
            Column(
                name=text("carrier"),
                kind=Kind.STRING,
                categories=(text("UA"), "AA", *(f"C{i}" for i in range(9))),
                example=text("UA"),
                description=text("The airline"),
            ),
            Column(
                name="distance",
                kind=Kind.NUMBER,
                minimum=17,
                maximum=4983,
                out_of_range=Policy.REJECT,
                example=1400.0,
            ),
            Column(name="temp", kind=Kind.NUMBER, nullable=True, null_rate=0.012),
            Column(name="at", kind=Kind.TIMESTAMP, role=Role.TIME),
            Column(name="late", kind=Kind.INTEGER, role=Role.TARGET),
        ),
    )


def judgements_with(text: Callable[[str], str]) -> tuple[Judgement, ...]:
    auc = Objective(metric="roc_auc", at_least=0.7, slices=("carrier",))
    better = Objective(metric="roc_auc", better_than=Reference.LIVE)
    return (
        Judgement(
            objective=auc,
            bound="at_least",
            target=0.7,
            measurement=Measurement(
                metric="roc_auc", value=0.734, low=0.716, high=0.751, n=27_000, blocks=31,
                method="days resampled",
            ),
            verdict=Verdict.PASS,
            reason=text("the whole interval is above 0.7"),
        ),
        Judgement(
            objective=auc,
            bound="at_least",
            target=0.7,
            measurement=Measurement(
                metric="roc_auc", value=0.69, low=0.61, high=None, n=120, blocks=31,
                method="days resampled", of=text("carrier=HA"),
            ),
            verdict=Verdict.UNDECIDED,
            reason="the interval holds 0.7",
            n_needed=2400,
        ),
        Judgement(
            objective=better,
            bound="better_than",
            target=0.0,
            measurement=Measurement(
                metric="roc_auc", value=0.012, low=-0.004, high=0.028, n=27_000, method="DeLong",
            ),
            verdict=Verdict.FAIL,
            reason="it may be worse",
        ),
    )  # fmt: skip


def version_with(text: Callable[[str], str]) -> Version:
    objectives = Objectives(
        task=Task.BINARY,
        objectives=(Objective(metric="roc_auc", at_least=0.7, slices=(text("carrier"),)),),
        costs=Costs(false_positive=1, false_negative=5),
        block=text("day"),
    )
    lineage = Lineage(
        data=(
            DataRecord(
                role="train",
                digest=DIGEST,
                rows=80_000,
                columns=17,
                location=text("data/train.parquet"),
                time_from=text("2013-01-01T05:00:00Z"),
                time_to="2013-03-31T23:00:00Z",
            ),
        ),
        code=CodeRecord(
            commit=text("0123abcd"), branch=text("main"), dirty=True, diff_digest=DIGEST
        ),
        source_model_digest=DIGEST,
        source_model_type=text("sklearn.pipeline.Pipeline"),
        parameters={text("n_estimators"): text("200")},
        command=("python", text("train.py")),
        python=text("3.11.2"),
        platform=text("Linux"),
        packages={text("lightgbm"): text("4.7.0")},
    )
    manifest = Manifest(
        model="flight-delay",
        task=Task.BINARY,
        spec=ModelSpec(
            format="onnx",
            task=Task.BINARY,
            inputs=(InputSpec("distance", Kind.NUMBER),),
            classes=(text("no"), text("yes")),
            main_file="model.onnx",
            library={text("onnxruntime"): text("1.32.0")},
        ),
        objectives=objectives,
        threshold=1 / 6,
        files=(
            FileEntry(path=text("model.onnx"), digest=DIGEST, size_bytes=1_500_000, media_type="x"),
        ),
        lineage=lineage,
        parity=Parity(
            rows=5000, largest_difference=3e-7, mean_difference=1e-8, flipped=1, threshold=1 / 6,
            tolerance=1e-5, passed=True,
        ),
        metrics={text("auc_train"): 0.81},
        notes=(text("ONNX was chosen because it answers the same"),),
    )  # fmt: skip
    return Version(
        model="flight-delay",
        number=3,
        digest=DIGEST,
        created_at=AT,
        created_by=text("ada"),
        manifest=manifest,
    )


def card_with(text: Callable[[str], str]) -> Card:
    body = {
        "verdict": "undecided",
        "judgements": judgements_with(text),
        "notes": (text("latency was not judged"),),
        "data": DataRecord(
            role="test", digest=DIGEST, rows=27_000, columns=17,
            time_from=text("2013-04-01"), time_to=text("2013-04-30"),
        ),
        "live": 2,
        "something_new": 1,
    }  # fmt: skip
    evidence = EvidenceRecord(
        id=7,
        model="flight-delay",
        number=3,
        kind="gate",
        verdict="undecided",
        created_at=AT,
        body=msgspec.to_builtins(body),
    )
    change = EndpointChange(
        endpoint="flight-delay",
        model="flight-delay",
        sequence=4,
        action="promote",
        before=2,
        live=3,
        at=AT,
        by=text("grace"),
        reason=text("the owner wants it"),
        evidence=None,
        forced=True,
    )
    return render_card(
        version_with(text),
        contract=contract_with(text),
        evidence=[evidence],
        history=[change],
        decision=text("Warn the passenger that the flight will be late"),
        address="http://127.0.0.1:8080",
        drift_margin=0.1,
    )


@pytest.fixture(scope="session")
def make_card() -> Callable[[Callable[[str], str]], Card]:
    return card_with


@pytest.fixture(scope="session")
def card() -> Card:
    return card_with(lambda text: text)


@pytest.fixture(scope="session")
def bare_card() -> Card:
    """The card of a version of which next to nothing is recorded."""
    version = version_with(lambda text: text)
    manifest = msgspec.structs.replace(
        version.manifest,
        lineage=Lineage(),
        parity=None,
        metrics={},
        notes=(),
        files=(),
        objectives=Objectives(task=Task.BINARY, objectives=()),
    )
    contract = msgspec.structs.replace(contract_with(lambda text: text), description="", rows=0)
    return render_card(msgspec.structs.replace(version, manifest=manifest), contract=contract)
