"""What follows from verdicts: may a version go live, and is it time to retrain. Pure rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from shipway.errors import GateRefused, NotAuthorised, Problem, UsageError
from shipway.evidence.verdict import Judgement, Verdict


def check_promotion(
    ref: str,
    verdict: Verdict | None,
    *,
    force: bool = False,
    reason: str = "",
    judgements: Sequence[Judgement] = (),
) -> None:
    """Return if the version *ref* may go live on the gate's *verdict*, None if never gated.

    Only a pass promotes by itself; *force* with a *reason* promotes all the same. Raises
    :class:`~shipway.errors.GateRefused`, with those *judgements* that are in the way as its
    problems, and :class:`~shipway.errors.UsageError` for force without a reason.
    """
    if verdict is Verdict.PASS:
        return
    if force and reason.strip():
        return
    if force:
        raise UsageError(
            f"{ref} cannot be forced without a reason",
            next_step="say why with --reason; it is kept in the history of the endpoint",
        )
    if verdict is None:
        raise GateRefused(
            f"{ref} has not been through the gate",
            next_step="run `shipway gate`, or force it with --force --reason",
        )
    in_the_way = [one for one in judgements if one.verdict is not Verdict.PASS]
    failed = verdict is Verdict.FAIL
    remedy = "mend the model" if failed else f"test on more rows{_most_needed(in_the_way)}"
    raise GateRefused(
        f"the gate's verdict on {ref} is {verdict.value}",
        next_step=f"{remedy}, or force it with --force --reason",
        problems=[
            Problem(f"gate.{one.verdict.value}", one.reason, where=one.measurement.of)
            for one in in_the_way
        ],
    )


def check_two_person(ref: str, author: str, approver: Collection[str]) -> None:
    """Return if who is called by the names *approver* is not the *author* of the version *ref*.

    Raises :class:`~shipway.errors.NotAuthorised`; nothing overrules it, not even force.

    >>> check_two_person("late@3", "anna", {"ben", "user:ben"})
    """
    if author in approver:
        raise NotAuthorised(
            f"{ref} was published by {author}, and it takes a second person to let it answer",
            next_step="ask somebody else to promote it; --force does not change this",
        )


def retrain_wanted(judgements: Iterable[Judgement], when: Sequence[str]) -> tuple[str, ...]:
    """The metrics among *when* that now fail, in that order: each is a reason to retrain.

    Undecided is no reason: it asks for more labels, not for another model.
    """
    failing = {one.objective.metric for one in judgements if one.verdict is Verdict.FAIL}
    return tuple(metric for metric in when if metric in failing)


def _most_needed(judgements: Sequence[Judgement]) -> str:
    needed = [one.n_needed for one in judgements if one.n_needed is not None]
    return f" (about {max(needed):,})" if needed else ""
