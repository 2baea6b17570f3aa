"""Statistics and verdicts: numbers in, intervals and judgements out. No disk, clock or network.

Everything here is for evidence that is looked at once: a test set at the gate, a week that is
over. Evidence that is looked at again and again (a canary, every minute) needs confidence
sequences instead of these intervals. They will make the same
:class:`~shipway.evidence.verdict.Measurement`, so that :func:`~shipway.evidence.judge.judge` stays
the one rule for both.
"""
