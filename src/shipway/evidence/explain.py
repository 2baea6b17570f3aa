"""Does what moved account for a metric's change: the part that the scores foresaw, and the rest."""

from __future__ import annotations

import msgspec


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A metric's ``change`` since the reference = ``foreseen`` + ``unforeseen``, in its unit.

    ``share`` is ``foreseen / change`` between 0 and 1, None where the change is no more than
    noise and a share of it would mean nothing. ``words`` say it as a sentence.
    """

    change: float
    foreseen: float
    unforeseen: float
    share: float | None
    words: str


def explained_share(
    reference: float, estimated: float, realised: float, *, noise: float = 0.0
) -> Explanation:
    """How much of the change from *reference* to *realised* the *estimated* value foresaw.

    The estimate comes from the scores alone, so its change is the part that follows from
    features that moved to where the model was known to be better or worse. The rest is put
    down to a changed relation between features and outcome. Take as *reference* the value that
    the same estimate has on the reference rows, where that is known, so that like is held
    against like; *noise* is the half width of the interval of the change.

    What this cannot tell: features that moved to where the calibration was never tested count as
    changed relation or as nothing; a cause that the model does not see is changed relation by
    definition; two effects that cancel look like none; and a share is a ratio of two uncertain
    numbers, so it is a hint where to look and no proof.
    """
    change, foreseen = realised - reference, estimated - reference
    rest = realised - estimated
    if change == 0 or abs(change) <= noise:
        return Explanation(
            change=change,
            foreseen=foreseen,
            unforeseen=rest,
            share=None,
            words=f"the change of {change:+.3g} is within noise: there is nothing to explain",
        )
    share = min(max(foreseen / change, 0.0), 1.0)
    return Explanation(
        change=change,
        foreseen=foreseen,
        unforeseen=rest,
        share=share,
        words=_words(change, foreseen, share),
    )


def _words(change: float, foreseen: float, share: float) -> str:
    if foreseen * change < 0:
        return (
            f"what moved does not explain it: by the scores alone the metric should have changed "
            f"by {foreseen:+.3g}, it changed by {change:+.3g}; the relation between features and "
            "outcome has changed"
        )
    told = f"the features that moved explain {share:.0%} of the change of {change:+.3g}"
    if share >= 0.8:
        return f"{told}: the data moved, the model still means what it says"
    if share <= 0.2:
        return f"{told}: the relation between features and outcome has changed"
    return f"{told}; the rest is a changed relation between features and outcome"
