"""Each metric as a function of how much every block of rows weighs.

That is all that resampling needs to know of a metric. Sums and the AUC are condensed to one
row, or one square of pair counts, a block; average precision goes back to the rows each time.
"""

from __future__ import annotations

import numpy as np

from shipway.evidence.bootstrap import Statistic
from shipway.evidence.outcomes import FloatArray, IntArray, Outcomes
from shipway.evidence.ranking import pair_wins, ratio, weighted_average_precision
from shipway.evidence.sums import SUM_METRICS


def deal(outcomes: Outcomes, most: int, seed: int) -> tuple[IntArray, int]:
    """The block code of each row (n,), and how many blocks: at most *most*, dealt at random."""
    if outcomes.blocks is None:
        codes, blocks = np.arange(outcomes.n), outcomes.n
    else:
        unique, codes = np.unique(outcomes.blocks, return_inverse=True)
        blocks = len(unique)
    if blocks <= most:
        return codes.astype(np.int64), blocks
    dealt = np.random.default_rng([seed, blocks]).permutation(blocks) % most
    return dealt[codes].astype(np.int64), most


def statistic(metric: str, outcomes: Outcomes, codes: IntArray, blocks: int) -> Statistic:
    """*metric* as a function of block weights."""
    if metric == "roc_auc":
        wins, positives, negatives = pair_wins(
            outcomes.probabilities(), outcomes.positives(), codes, blocks
        )

        def auc(weights: FloatArray) -> FloatArray:
            won = np.einsum("rb,rb->r", weights @ wins, weights)
            pairs = (weights @ positives) * (weights @ negatives)
            return ratio(won, pairs)

        return auc
    if metric == "average_precision":
        return weighted_average_precision(outcomes.probabilities(), outcomes.positives(), codes)
    definition = SUM_METRICS[metric]
    totals = definition.sums(outcomes, codes, blocks)
    return lambda weights: definition.value(outcomes, weights @ totals)
