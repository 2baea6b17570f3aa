"""The rules between settings: what is needed, what fits together, what contradicts.

Each rule reads a draft and notes problems in it. A rule keeps silent about anything that was
already complained of, so that one mistake gives one message.
"""

from __future__ import annotations

from shipway.config.accept import did_you_mean
from shipway.config.addresses import parts_of, password_of
from shipway.config.draft import Draft, Origin, Said
from shipway.config.schema import REPEATED, entries
from shipway.config.settings import COST_TASKS
from shipway.domain.metrics import METRICS, Metric, Source, Task
from shipway.domain.names import check_name
from shipway.domain.objectives import BaselineKind, Reference
from shipway.errors import NameNotAllowed

_CLASSIFICATION = frozenset({Task.BINARY, Task.MULTICLASS})
_BASELINE_TASKS = {
    BaselineKind.ALWAYS_POSITIVE: frozenset({Task.BINARY}),
    BaselineKind.ALWAYS_NEGATIVE: frozenset({Task.BINARY}),
    BaselineKind.MAJORITY: _CLASSIFICATION,
    BaselineKind.MEAN: frozenset({Task.REGRESSION}),
    BaselineKind.BEST_CONSTANT: frozenset(Task),
}
_TIMED_BLOCKS = frozenset({"hour", "day", "week"})
_BOUNDS = ("at_least", "at_most", "better_than")


def check_consistency(draft: Draft) -> None:
    """Note every problem between the settings of *draft*."""
    _check_missing(draft)
    _check_model(draft)
    _check_costs(draft)
    _check_baseline(draft)
    seen: dict[tuple[str, tuple[str, ...]], str] = {}
    for index, objective in enumerate(draft.objectives):
        _check_objective(index, objective, draft)
        _check_repeated(objective, seen, draft)
    _check_serve(draft)
    check_store(draft)
    _check_auth(draft)
    _check_trust(draft)
    _check_retrain(draft)


def _check_missing(draft: Draft) -> None:
    for entry in entries():
        optional_section = entry.section == "baseline" and "baseline" not in draft.sections
        if not entry.required or entry.section == REPEATED or optional_section:
            continue
        if entry.name not in draft.values and draft.expects(entry.section, entry.name):
            where = draft.where(entry.name)
            hint = f"{entry.meaning}; {entry.allowed}"
            draft.complain("missing", f"{entry.name} is not set", where, hint)
    if not draft.objectives and draft.expects(REPEATED):
        hint = "begin one with [[objectives]], then metric = ..., then a bound"
        where = draft.sections.get(REPEATED, f"{draft.source}:1")
        draft.complain("missing", "there is no objective; at least one is needed", where, hint)


def _check_model(draft: Draft) -> None:
    name = draft.value("model.name")
    if name is not None:
        try:
            check_name(name, what="model name")
        except NameNotAllowed as refused:
            where = draft.where("model.name")
            draft.complain("not-allowed", refused.message, where, refused.next_step)
    task = draft.value("model.task")
    for key in ("model.positive", "model.threshold"):
        if task not in (None, Task.BINARY) and draft.value(key) is not None:
            message = f"{key} is for {Task.BINARY} models; this one is a {task} model"
            draft.complain("does-not-fit", message, draft.where(key), "take it out")
    block = draft.value("model.block")
    timed = draft.value("model.time") is not None or not draft.expects("model.time")
    if block in _TIMED_BLOCKS and not timed:
        message = f'model.block = "{block}" needs model.time'
        hint = 'name the time column with time = ..., or write block = "row"'
        draft.complain("contradiction", message, draft.where("model.block"), hint)
    _check_columns_differ(draft)


def _check_columns_differ(draft: Draft) -> None:
    taken: dict[str, str] = {}
    for key in ("model.target", "model.time", "model.id"):
        column = draft.value(key)
        if column is not None and taken.setdefault(column, key) != key:
            message = f"{key} is the column {column!r}, which is {taken[column]} already"
            draft.complain("contradiction", message, draft.where(key), "one column has one meaning")


def _check_costs(draft: Draft) -> None:
    task = draft.value("model.task")
    for kind, needed in COST_TASKS.items():
        key = f"costs.{kind}"
        if task not in (None, needed) and draft.value(key) is not None:
            fitting = [f"costs.{name}" for name, fits in COST_TASKS.items() if fits == task]
            hint = f"use {' and '.join(fitting)}" if fitting else "take [costs] out"
            message = f"{key} is for {needed} models; this one is a {task} model"
            draft.complain("does-not-fit", message, draft.where(key), hint)
    both = [draft.value(f"costs.{key}") for key in ("false_positive", "false_negative")]
    if both == [0, 0]:
        message = "both kinds of mistakes cost nothing, so no threshold follows"
        draft.complain("contradiction", message, draft.where("costs.false_negative"))


def _check_baseline(draft: Draft) -> None:
    kind, task = draft.value("baseline.kind"), draft.value("model.task")
    if kind is None or task is None or task in _BASELINE_TASKS[kind]:
        return
    fitting = [str(k) for k, tasks in _BASELINE_TASKS.items() if task in tasks]
    message = f"the baseline {kind} does not fit a {task} model"
    hint = f"allowed is one of {', '.join(fitting)}"
    draft.complain("does-not-fit", message, draft.where("baseline.kind"), hint)


def _check_objective(index: int, objective: dict[str, Said], draft: Draft) -> None:
    where, _ = draft.objective_places[index]
    prefix = f"{REPEATED}.{index}"
    damaged = {name.rpartition(".")[2] for name in draft.damaged if name.startswith(REPEATED)}
    metric = None
    if "metric" in objective:
        metric = _known_metric(objective["metric"], draft)
    elif draft.expects(f"{prefix}.metric", f"{REPEATED}.metric"):
        draft.complain("missing", "the objective names no metric", where, "write metric = ...")
    if not any(bound in objective for bound in _BOUNDS) and damaged.isdisjoint(_BOUNDS):
        name = objective["metric"].value if "metric" in objective else "the objective"
        hint = f"set at least one of {', '.join(_BOUNDS)}"
        draft.complain("no-bound", f"{name} has no bound, so nothing is asked of it", where, hint)
    _check_bounds(objective, metric, draft)
    _check_reference(objective, metric, draft)
    if metric is not None:
        _check_fit(objective, metric, draft)


def _known_metric(said: Said, draft: Draft) -> Metric | None:
    metric = METRICS.get(said.value)
    task = draft.value("model.task")
    fitting = [m.name for m in METRICS.values() if task is None or task in m.tasks]
    if metric is None:
        allowed = f"one of {', '.join(fitting)}"
        guess = did_you_mean(said.value, fitting)
        hint = f"{guess} Allowed is {allowed}" if guess else f"allowed is {allowed}"
        draft.complain("unknown-metric", f"no metric is called {said.value!r}", said.where, hint)
    elif task is not None and task not in metric.tasks:
        tasks = " or ".join(metric.tasks)
        message = f"{metric.name} is for {tasks} models; this one is a {task} model"
        hint = f"allowed is one of {', '.join(fitting)}"
        draft.complain("metric-does-not-fit", message, said.where, hint)
        return None
    return metric


def _check_bounds(objective: dict[str, Said], metric: Metric | None, draft: Draft) -> None:
    least, most = objective.get("at_least"), objective.get("at_most")
    if least and most and least.value > most.value:
        message = f"at_least {least.value:g} is above at_most {most.value:g}"
        draft.complain("contradiction", message, most.where, "no value satisfies both")
    if metric is None:
        return
    low, high = metric.bounds
    for key in ("at_least", "at_most"):
        said = objective.get(key)
        if said is None or low <= said.value <= high:
            continue
        hint = f"it lies between {low:g} and {high:g}" if high < float("inf") else "from 0 on"
        if (low, high) == (0.0, 1.0) and 1 < said.value <= 100:
            hint = f"did you mean {said.value / 100:g}? {hint}"
        message = f"{metric.name} can never be {said.value:g}"
        draft.complain("out-of-range", f"{key}: {message}", said.where, hint)


def _check_reference(objective: dict[str, Said], metric: Metric | None, draft: Draft) -> None:
    better = objective.get("better_than")
    if better is None:
        if (margin := objective.get("margin")) and draft.expects(REPEATED):
            hint = 'add better_than = "live" or take margin out'
            draft.complain("contradiction", "margin needs better_than", margin.where, hint)
        return
    has_baseline = "baseline" in draft.sections or draft.value("baseline.kind") is not None
    if better.value == Reference.BASELINE and not has_baseline and draft.expects("baseline"):
        hint = 'add a section [baseline] with kind = "best-constant", or another'
        message = 'better_than = "baseline" needs a [baseline]'
        draft.complain("missing", message, better.where, hint)
    if metric is not None and metric.source is Source.TRAFFIC:
        message = f"{metric.name} is measured on traffic and has no reference to beat"
        hint = "use at_most"
        draft.complain("contradiction", message, better.where, hint)


def _check_fit(objective: dict[str, Said], metric: Metric, draft: Draft) -> None:
    """What the metric needs besides itself."""
    has_costs = any(name.startswith("costs.") for name in draft.values)
    if metric.name == "cost_per_1000" and not has_costs and draft.expects("costs"):
        task = draft.value("model.task")
        example = next((kind for kind, fits in COST_TASKS.items() if fits == task), "mistake")
        hint = f"add a section [costs] with {example} = ..."
        message = "cost_per_1000 needs [costs]: nobody said what a mistake costs"
        draft.complain("missing", message, objective["metric"].where, hint)
    slices = objective.get("slices")
    if slices and slices.value and metric.source is Source.TRAFFIC:
        message = f"{metric.name} is measured on whole requests and has no slices"
        draft.complain("contradiction", message, slices.where, "take slices out")


def _check_repeated(
    objective: dict[str, Said], seen: dict[tuple[str, tuple[str, ...]], str], draft: Draft
) -> None:
    metric = objective.get("metric")
    if metric is None:
        return
    slices = objective.get("slices")
    key = (metric.value, () if slices is None else tuple(sorted(slices.value)))
    first = seen.setdefault(key, metric.where)
    if first != metric.where:
        message = f"{metric.value} stands in two objectives"
        draft.complain("contradiction", message, metric.where, f"join it with the one at {first}")


def _check_serve(draft: Draft) -> None:
    defaults = {entry.name: entry.default for entry in entries()}
    taken: dict[object, str] = {}
    for key, what in (("port", "predictions"), ("control_port", "control"), ("grpc_port", "gRPC")):
        said = draft.value(f"serve.{key}")
        port = defaults[f"serve.{key}"] if said is None else said
        if key == "grpc_port" and draft.value("serve.grpc") is False:
            continue
        if port and port in taken:
            place = f"serve.{key}" if said is not None else "serve.port"
            message = f"{taken[port]} and {what} cannot share port {port}"
            draft.complain("contradiction", message, draft.where(place), "two ports are needed")
        taken[port] = what
    if draft.value("serve.tls_certificate") is None:
        for key in ("tls_key", "tls_client_ca"):
            if draft.value(f"serve.{key}") is not None and draft.expects("serve.tls_certificate"):
                message = f"serve.{key} needs serve.tls_certificate"
                hint = "name the file of the server's certificate"
                draft.complain("missing", message, draft.where(f"serve.{key}"), hint)


def _check_auth(draft: Draft) -> None:
    issuer, audience = draft.value("auth.issuer"), draft.value("auth.audience")
    if issuer is not None and audience is None and draft.expects("auth.audience"):
        hint = "name what the issuer calls this server: a token for somebody else is no token"
        where = draft.where("auth.issuer")
        draft.complain("missing", "auth.issuer needs auth.audience", where, hint)
    for key in ("audience", "scopes", "claim", "jwks_url", "algorithms", "client_id"):
        name = f"auth.{key}"
        if issuer is None and draft.value(name) is not None and draft.expects("auth.issuer"):
            hint = "name the issuer, or take this out"
            draft.complain("missing", f"{name} needs auth.issuer", draft.where(name), hint)
    for key in ("client_secret_file", "public_url", "session_s"):
        name = f"auth.{key}"
        nameless = draft.value("auth.client_id") is None and draft.expects("auth.client_id")
        if nameless and draft.value(name) is not None:
            hint = "say what the issuer calls this server, or take this out"
            draft.complain("missing", f"{name} needs auth.client_id", draft.where(name), hint)
    known = draft.value("serve.tls_client_ca") is not None
    if draft.value("auth.certificates") and not known and draft.expects("serve.tls_client_ca"):
        hint = "name the file of the authorities that callers' certificates must come from"
        message = "auth.certificates needs serve.tls_client_ca: nobody would verify them"
        draft.complain("missing", message, draft.where("auth.certificates"), hint)
    rate = draft.value("auth.requests_per_s")
    for key in ("burst", "special_requests_per_s"):
        name = f"auth.{key}"
        if rate is None and draft.value(name) and draft.expects("auth.requests_per_s"):
            hint = "say how many requests a second a caller may make, or take this out"
            draft.complain("missing", f"{name} needs auth.requests_per_s", draft.where(name), hint)
    for key in ("scopes", "certificates", "special_requests_per_s"):
        name = f"auth.{key}"
        said = [line.rpartition("=")[0].strip() for line in draft.value(name) or ()]
        twice = sorted({one for one in said if said.count(one) > 1})
        if twice:
            message = f"{name} says twice what {twice[0]} may"
            draft.complain("contradiction", message, draft.where(name), "write it once")


def check_store(draft: Draft) -> None:
    """A password is for the environment alone: the file is shared, a command line is seen."""
    said = draft.values.get("store.url")
    if said is None or not said.value:
        return
    if parts_of(said.value) is None:
        hint = "write signs like / : @ # ? of a password as %2F %3A %40 %23 %3F"
        draft.complain("not-allowed", "store.url cannot be read as an address", said.where, hint)
    elif password_of(said.value) is not None and said.origin is not Origin.ENVIRONMENT:
        hint = "take it out, and set PGPASSWORD or the whole address in SHIPWAY_STORE__URL"
        draft.complain("secret-shown", "store.url has a password in it", said.where, hint)
    elif "password=" in said.value.partition("?")[2]:
        hint = "set PGPASSWORD instead"
        draft.complain("secret-shown", "store.url has a password in its query", said.where, hint)


def _check_trust(draft: Draft) -> None:
    identities = draft.value("trust.identities") or ()
    expected = not identities and draft.expects("trust.identities")
    asked = draft.value("trust.mode") not in (None, "off")
    for key, needs in (("mode", asked), ("pickle", draft.value("trust.pickle"))):
        if needs and expected:
            hint = "name who is believed: `shipway sign --dry-run` shows who signs here"
            message = f"trust.{key} needs trust.identities: nobody would be believed"
            draft.complain("missing", message, draft.where(f"trust.{key}"), hint)
    certified = any(" by " in one for one in identities)
    if (
        certified
        and draft.value("trust.authorities") is None
        and draft.expects("trust.authorities")
    ):
        hint = "name the file of the authorities that certificates must lead to"
        message = "trust.identities by a certificate need trust.authorities"
        draft.complain("missing", message, draft.where("trust.identities"), hint)


def _check_retrain(draft: Draft) -> None:
    when = draft.value("retrain.when") or ()
    where = draft.where("retrain.when")
    metrics = [o["metric"].value for o in draft.objectives if "metric" in o]
    for name in when:
        if name in metrics or not draft.expects(REPEATED):
            continue
        hint = did_you_mean(name, metrics) or f"the objectives are of {', '.join(metrics)}"
        draft.complain("unknown-objective", f"no objective is of the metric {name!r}", where, hint)
    if when and draft.value("retrain.command") is None and draft.expects("retrain.command"):
        hint = 'write what trains anew: command = "python train.py"'
        draft.complain("missing", "retrain.when needs retrain.command", where, hint)
