"""What monitoring finds out about one window, as data that becomes JSON, a table or a plot."""

from __future__ import annotations

import msgspec

from shipway.evidence.verdict import Judgement, Measurement, Verdict
from shipway.monitoring.window import Window


class ScoreBin(msgspec.Struct, frozen=True, kw_only=True):
    """The predictions of one score bin, how many training would lead one to expect, and labels."""

    name: str
    predictions: int
    labelled: int
    expected: float | None = None


class Maturity(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the truth is known, and whether what is known is like the rest.

    ``matured`` when enough labels are in for the realised figures to be judged. ``skewed`` when
    the share of labels differs between score bins by at least 0.1 and beyond chance
    (chi-squared test at 1 %): the labelled predictions are then no fair sample.
    """

    predictions: int
    labelled: int
    share: float
    needed_share: float
    needed_rows: int
    matured: bool
    skewed: bool
    note: str


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of a window: ``refused`` were the caller's fault, ``failed`` the server's.

    Latencies are of answered requests, in milliseconds.
    """

    requests: int
    refused: int
    failed: int
    codes: dict[str, int]
    error_rate: Measurement
    latency_p50_ms: Measurement
    latency_p99_ms: Measurement


class BinShift(msgspec.Struct, frozen=True, kw_only=True):
    """One bin: its share in training and in the window."""

    name: str
    reference: float
    window: float


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """How far one distribution moved away from the reference.

    ``psi`` decides: ``moved`` when it is past the margin, less what chance adds, and beyond
    chance; ``verdict`` is then ``fail``, and ``reason`` says so. ``others`` are further effect
    sizes by name. ``bins`` are the (at most five) whose share changed most. ``effects`` is
    the estimated change of each objective's metric that this movement alone brings about, in the
    metric's unit.
    """

    name: str
    psi: Measurement
    others: dict[str, Measurement]
    margin: float
    moved: bool
    verdict: Verdict
    reason: str
    bins: tuple[BinShift, ...]
    effects: dict[str, float] = {}


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """The share of a column's values that break a promise of the contract.

    ``rule`` is ``missing``, ``unseen`` or ``out-of-range``; ``raised`` when the
    share is more than a point above the reference, and beyond chance.
    """

    column: str
    rule: str
    rows: int
    share: float
    low: float
    high: float
    reference: float
    raised: bool


class MetricFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One metric in one window: as it came true, as it was estimated, as it was at the gate.

    ``estimated`` follows from the model's own calibrated scores (CBPE) and knows nothing of a
    changed relation between features and outcome. ``reference_estimated`` is the same estimate
    on the gate's rows, so that changes are compared like with like.
    """

    metric: str
    realised: Measurement
    estimated: Measurement | None = None
    reference: Measurement | None = None
    reference_estimated: float | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Whether what moved accounts for a metric's change since the gate.

    ``explained`` is the share of ``change`` that the estimate foresaw, from 0 to 1, or None.
    """

    metric: str
    change: float | None
    explained: float | None
    words: str


class WindowReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one model in one window. ``verdict`` sums up ``judgements``."""

    model: str
    endpoint: str
    window: Window
    versions: dict[str, int]
    predictions: int
    maturity: Maturity
    traffic: Traffic
    judgements: tuple[Judgement, ...]
    verdict: Verdict
    metrics: tuple[MetricFigures, ...]
    explanations: tuple[Explanation, ...]
    features: tuple[Movement, ...]
    scores: Movement | None
    score_bins: tuple[ScoreBin, ...]
    quality: tuple[Fault, ...]
    notes: tuple[str, ...] = ()

    @property
    def failing(self) -> tuple[Judgement, ...]:
        """The judgements that the window failed."""
        return tuple(found for found in self.judgements if found.verdict is Verdict.FAIL)

    @property
    def moved(self) -> tuple[Movement, ...]:
        """The features that moved, the farthest first."""
        moved = [feature for feature in self.features if feature.moved]
        return tuple(sorted(moved, key=lambda feature: -(feature.psi.value or 0.0)))

    def figures(self, metric: str) -> MetricFigures | None:
        """The figures of *metric*, if it was measured."""
        return next((found for found in self.metrics if found.metric == metric), None)

    def explanation(self, metric: str) -> Explanation | None:
        """The explanation of the change of *metric*, if there is one."""
        return next((found for found in self.explanations if found.metric == metric), None)
