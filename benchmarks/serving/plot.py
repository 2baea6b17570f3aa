"""A run as a picture: requests/s of every server, one panel a load, on a logarithmic scale.

SVG by hand: a few rectangles that follow the reader's light or dark scheme and need no package.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

from benchmarks.serving import bars
from benchmarks.serving.lineup import SHIPWAY, UNGUARDED, title_of
from benchmarks.serving.report import name_of
from benchmarks.serving.results import Case, Results

_PANELS = (bars.BUSY, bars.LONE, bars.STRINGS)
_WIDTH, _LABELS, _VALUES = 760, 190, 60
_ROW, _BAR, _TOP, _HEAD, _FOOT = 24, 16, 34, 30, 34
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.head { font-weight: 600 }
.small { font-size: 11px; fill: #59636e }
.line { stroke: #d1d9e0 }
.ours { fill: #0969da }
.theirs { fill: #8c959f }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .small { fill: #9198a1 }
  .line { stroke: #3d444d }
  .ours { fill: #4493f8 }
  .theirs { fill: #656c76 }
}
"""


@dataclass(frozen=True, slots=True)
class Scale:
    """Requests/s to pixels: ``low`` and ``high`` are powers of ten."""

    low: int
    high: int

    @classmethod
    def of(cls, rates: Sequence[float]) -> Scale:
        """The least scale that holds *rates*, with every bar to be seen."""
        return cls(floor(log10(min(rates) / 1.5)), floor(log10(max(rates))) + 1)

    def length(self, rate: float) -> float:
        """How long the bar of *rate* is."""
        room = _WIDTH - _LABELS - _VALUES
        return (log10(rate) - self.low) / (self.high - self.low) * room


def drawn(results: Results) -> str:
    """The picture of *results* as SVG; loads that nobody was measured under are left out."""
    panels = [(case, found) for case in _PANELS if (found := _rates(results, case))]
    rates = [rate for _, found in panels for _, rate in found]
    if not rates:
        return _document([], 0, "Nothing was measured")
    scale = Scale.of(rates)
    parts: list[str] = []
    top = _TOP
    for case, found in panels:
        bottom = top + _HEAD + _ROW * len(found)
        parts += _grid(scale, top + _HEAD, bottom)
        parts += _panel(case, found, scale, top)
        top = bottom + _FOOT
    return _document(parts, top, _in_words(panels))


def _rates(results: Results, case: Case) -> list[tuple[str, float]]:
    found = [
        (one.server, one.per_second)
        for one in results.measured
        if one.case == case and not one.reason and one.server != UNGUARDED
    ]
    return sorted(found, key=lambda pair: -pair[1])


def _grid(scale: Scale, top: float, bottom: float) -> Iterator[str]:
    for power in range(scale.low, scale.high + 1):
        x = _LABELS + scale.length(10**power)
        yield f'<line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'
        anchor = f'text-anchor="middle" x="{x:.1f}" y="{bottom + 14}"'
        yield f'<text class="small" {anchor}>{10**power:,}</text>'


def _panel(
    case: Case, found: Sequence[tuple[str, float]], scale: Scale, top: float
) -> Iterator[str]:
    yield f'<text class="head" x="0" y="{top + 16}">{escape(name_of(case))}</text>'
    for place, (server, rate) in enumerate(found):
        y = top + _HEAD + _ROW * place
        length = scale.length(rate)
        kind = "ours" if server == SHIPWAY else "theirs"
        middle = y + _ROW / 2 + 4
        name = escape(title_of(server))
        yield f'<text x="{_LABELS - 8}" y="{middle}" text-anchor="end">{name}</text>'
        yield (
            f'<rect class="{kind}" x="{_LABELS}" y="{y + (_ROW - _BAR) / 2}"'
            f' width="{length:.1f}" height="{_BAR}" rx="2"/>'
        )
        yield f'<text x="{_LABELS + length + 6:.1f}" y="{middle}">{rate:,.0f}</text>'


def _in_words(panels: Sequence[tuple[Case, Sequence[tuple[str, float]]]]) -> str:
    told = (
        f"{name_of(case)}: " + ", ".join(f"{title_of(who)} {rate:,.0f}" for who, rate in found)
        for case, found in panels
    )
    return "Requests a second. " + "; ".join(told) + "."


def _document(parts: Sequence[str], height: float, words: str) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
        f' width="{_WIDTH}" height="{height}" role="img" aria-labelledby="title words">'
    )
    lead = "Requests a second on one core, one worker, logarithmic scale"
    text = [
        head,
        '<title id="title">Prediction servers side by side</title>',
        f'<desc id="words">{escape(words)}</desc>',
        f"<style>{_STYLE}</style>",
        f'<text class="small" x="0" y="16">{lead}; only Shipway checks keys and data,'
        " and keeps events</text>",
        *parts,
        "</svg>",
    ]
    return "\n".join(text) + "\n"
