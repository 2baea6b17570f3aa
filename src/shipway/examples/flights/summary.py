"""What the demo tells at its end: every figure comes from the run that has just been."""

from __future__ import annotations

import msgspec


class GateLine(msgspec.Struct, frozen=True, kw_only=True):
    """One gate of the story."""

    candidate: str
    about: str
    verdict: str
    reasons: tuple[str, ...]


class WeekLine(msgspec.Struct, frozen=True, kw_only=True):
    """One simulated week, as monitoring judged it."""

    week: str
    predictions: int
    matured: float
    versions: dict[int, int]
    metrics: dict[str, tuple[float | None, float | None, float | None]]
    verdict: str
    failing: tuple[str, ...]
    moved: tuple[str, ...]


class AlertLine(msgspec.Struct, frozen=True, kw_only=True):
    """One alert: the week that raised it, and what it says."""

    week: str
    objective: str
    summary: str
    moved: tuple[str, ...]
    explanation: str


class SwitchLine(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the live version while requests went on."""

    action: str
    before: int | None
    live: int
    week: str
    requests_meanwhile: int
    seconds: float


class VersionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One published version and how many predictions it answered."""

    number: int
    about: str
    format: str
    verdict: str
    predictions: int


class DemoSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The run in figures; ``missing`` names every step of the story that did not happen."""

    fast: bool
    flights: int
    predictions: int
    requests: int
    failed_requests: int
    labels_joined: int
    weeks: tuple[WeekLine, ...]
    alerts: tuple[AlertLine, ...]
    gates: tuple[GateLine, ...]
    versions: tuple[VersionLine, ...]
    switches: tuple[SwitchLine, ...]
    promoted: int | None
    rolled_back: int | None
    live: int | None
    card: str
    report: str
    url: str
    call: str
    seconds: dict[str, float]
    missing: tuple[str, ...]
