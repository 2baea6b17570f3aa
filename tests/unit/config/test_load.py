"""What is read from shipway.toml, the environment and flags, and what is said of mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.config.draft import Origin
from shipway.config.load import Loaded, load_settings, parse_settings
from shipway.config.settings import Window
from shipway.domain.metrics import Task
from shipway.domain.objectives import BaselineKind, Reference
from shipway.errors import ConfigError, Problem

MODEL = """\
[model]
name = "flight-delay"
task = "binary-classification"
target = "late"
"""
MINIMAL = f"""\
{MODEL}
[[objectives]]
metric = "roc_auc"
at_least = 0.7
"""


def read(
    text: str,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
) -> Loaded:
    """The settings that *text* says."""
    return parse_settings(text, path=Path("shipway.toml"), environ=environ or {}, flags=flags or {})


def problems(
    text: str,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
) -> tuple[Problem, ...]:
    """What is wrong with *text*."""
    with pytest.raises(ConfigError) as caught:
        read(text, environ, flags)
    return caught.value.problems


def refusal_of(text: str) -> ConfigError | None:
    """The error that *text* is refused with, if it is."""
    try:
        read(text)
    except ConfigError as error:
        return error
    return None


def only(
    text: str,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
) -> Problem:
    """The one thing that is wrong with *text*."""
    (problem,) = problems(text, environ, flags)
    return problem


def test_the_smallest_file_is_enough() -> None:
    """A name, a task, a target and one objective make a project; the rest has defaults."""
    loaded = read(MINIMAL).settings
    assert loaded.model.task is Task.BINARY
    assert loaded.model.block == loaded.objectives.block == "row"
    assert loaded.data.train is None
    assert (loaded.serve.port, loaded.monitor.window) == (8080, Window.WEEK)


def test_objectives_costs_and_baseline_are_gathered_in_the_order_of_the_file() -> None:
    """All that is said about good ends in one place, the objectives as they were ordered."""
    text = MINIMAL.replace('target = "late"', 'target = "late"\ntime = "at"') + (
        '[[objectives]]\nmetric = "cost_per_1000"\nbetter_than = "baseline"\nslices = ["origin"]\n'
        '[costs]\nfalse_positive = 1\nfalse_negative = 5\n[baseline]\nkind = "best-constant"\n'
    )
    goals = read(text).settings.objectives
    assert [o.metric for o in goals.objectives] == ["roc_auc", "cost_per_1000"]
    assert goals.objectives[1].better_than is Reference.BASELINE
    assert goals.objectives[1].slices == ("origin",)
    assert goals.baseline is BaselineKind.BEST_CONSTANT
    assert goals.decision_threshold() == pytest.approx(1 / 6)
    assert goals.block == "day"


def test_flag_beats_variable_beats_file_beats_default() -> None:
    """The nearest word wins, and each value remembers who said it and on which line."""
    text = MINIMAL + "[serve]\nport = 1\ncontrol_port = 2\nworkers = 3\n"
    environ = {"SHIPWAY_SERVE__PORT": "11", "SHIPWAY_SERVE__CONTROL_PORT": "12", "PATH": "/bin"}
    loaded = read(text, environ, {"serve.port": "21"})
    rows = {row.name: row for row in loaded.origins}
    assert (rows["serve.port"].value, rows["serve.port"].origin) == (21, Origin.FLAG)
    assert (rows["serve.control_port"].value, rows["serve.control_port"].origin) == (
        12,
        Origin.ENVIRONMENT,
    )
    assert (rows["serve.workers"].origin, rows["serve.workers"].line) == (Origin.FILE, 12)
    assert rows["serve.host"].origin is Origin.DEFAULT
    assert rows["objectives[0]"].value == "roc_auc at least 0.7"


def test_the_home_of_the_store_has_a_short_variable() -> None:
    """SHIPWAY_HOME moves the store, and contradicting it with the long name is refused."""
    assert read(MINIMAL, {"SHIPWAY_HOME": "/srv"}).settings.store.home == "/srv"
    both = {"SHIPWAY_HOME": "/srv", "SHIPWAY_STORE__HOME": "/var"}
    assert only(MINIMAL, both).code == "config.contradiction"


def test_texts_are_read_as_the_setting_is_typed() -> None:
    """Variables hold numbers, truth values, choices and lists as plain text."""
    environ = {
        "SHIPWAY_SERVE__AUTHENTICATION": "false",
        "SHIPWAY_MONITOR__MATURITY": "0.5",
        "SHIPWAY_MONITOR__WINDOW": "day",
        "SHIPWAY_RETRAIN__WHEN": "roc_auc",
        "SHIPWAY_RETRAIN__COMMAND": "python train.py",
    }
    loaded = read(MINIMAL, environ).settings
    assert loaded.serve.authentication is False
    assert loaded.monitor.maturity == 0.5
    assert loaded.monitor.window is Window.DAY
    assert loaded.retrain.when == ("roc_auc",)


def test_five_mistakes_give_five_messages_with_lines() -> None:
    """Nothing is left for the next run: all mistakes are told at once, each with its line."""
    text = """\
[model]
name = flight-delay
task = "binary-clasification"
traget = "late"

[[objectives]]
metric = "roc_uac"
at_least = 0.7

[serve]
port = "8080"
"""
    found = problems(text)
    assert [problem.where for problem in found] == [
        f"shipway.toml:{line}" for line in (2, 3, 4, 7, 11)
    ]
    assert [problem.code.removeprefix("config.") for problem in found] == [
        "syntax",
        "not-allowed",
        "unknown-key",
        "unknown-metric",
        "wrong-type",
    ]
    assert 'name = "flight-delay"' in found[0].hint
    for problem, meant in zip(
        found[1:4], ("binary-classification", "target", "roc_auc"), strict=True
    ):
        assert f"did you mean {meant}?" in problem.hint
    assert "0 to 65,535" in found[4].hint


SINGLE = [
    ("[sever]\nport = 1\n", "config.unknown-section", 9, "did you mean serve?"),
    ("[serve]\ntarget = 1\n", "config.unknown-key", 10, "did you mean target in [model]?"),
    ("[serve]\nworkers = true\n", "config.wrong-type", 10, "whole number"),
    ("[serve]\nworkers = -1\n", "config.not-allowed", 10, "from 0 to 256"),
    ("[serve]\ngrpc_port = 8081\n", "config.contradiction", 10, "two ports"),
    ("[serve]\nport = 8082\n", "config.contradiction", 10, "two ports"),
    ('[serve]\ntls_key = "k"\n', "config.missing", 10, "the server's certificate"),
    ('[serve]\ntls_client_ca = "c"\n', "config.missing", 10, "the server's certificate"),
    ("[monitor]\nmaturity = nan\n", "config.not-allowed", 10, "from 0 to 1"),
    ("[monitor]\nmaturity = inf\n", "config.not-allowed", 10, "from 0 to 1"),
    ("[monitor]\nmin_rows = 2024-01-01\n", "config.wrong-type", 10, "whole number"),
    ("[alerts]\nwebhook = 'mail'\n", "config.not-allowed", 10, "http"),
    ("[serve]\ncontrol_port = 8080\n", "config.contradiction", 10, "two ports"),
    ("[retrain]\nwhen = ['roc_auc']\n", "config.missing", 10, "python train.py"),
    ("[retrain]\ncommand='x'\nwhen = ['roc_auk']\n", "config.unknown-objective", 11, "roc_auc"),
    ("[costs]\nmistake = 1\n", "config.does-not-fit", 10, "false_positive"),
    ("[baseline]\nkind = 'mean'\n", "config.does-not-fit", 10, "best-constant"),
    ("[baseline]\n", "config.missing", 9, "best-constant"),
    ("[costs]\nfalse_positive=0\nfalse_negative=0\n", "config.contradiction", 11, ""),
    ("[[objectives]]\nmetric = 'rmse'\nat_most=1\n", "config.metric-does-not-fit", 10, "roc_auc"),
    ("[[objectives]]\nmetric = 'recall'\n", "config.no-bound", 9, "at_least"),
    ("[[objectives]]\nat_least = 1\n", "config.missing", 9, "metric"),
    ("[[objectives]]\nmetric='recall'\nat_least=70\n", "config.out-of-range", 11, "mean 0.7?"),
    ("[[objectives]]\nmetric='cost_per_1000'\nat_most=9\n", "config.missing", 10, "[costs]"),
    ("[[objectives]]\nmetric='f1'\nbetter_than='baseline'\n", "config.missing", 11, "[baseline]"),
    ("[[objectives]]\nmetric='f1'\nat_least=.5\n", "config.syntax", 11, "0.5"),
    ("[[objectives]]\nmetric='f1'\nat_least=0.5\nmargin=1\n", "config.contradiction", 12, "live"),
    ("[[objectives]]\nmetric='f1'\nat_least=0.9\nat_most=0.1", "config.contradiction", 12, "both"),
    ("[[objectives]]\nmetric='roc_auc'\nat_most=0.9\n", "config.contradiction", 10, "toml:7"),
    ("[[objectives]]\nmetric='error_rate'\nbetter_than='live'", "config.contradiction", 11, ""),
    ("[serve]\nport = 1\nport = 2\n", "config.syntax", 11, "once"),
    ("[serve\nport = 1\n", "config.syntax", 9, "close"),
    ("[serve]\nport 1\n", "config.syntax", 10, "key = value"),
    ("[retrain]\ncommand = 'x'\nwhen = ['roc_auc',\n", "config.syntax", 11, "]"),
    ("[retrain]\ncommand = 'x\n", "config.syntax", 10, "quote"),
    ("[serve]\nauthentication = True\n", "config.syntax", 10, "true or false"),
]


@pytest.mark.parametrize(("text", "code", "line", "hint"), SINGLE)
def test_one_mistake_gives_one_message(text: str, code: str, line: int, hint: str) -> None:
    """A mistake is told once, by its code, its line, and what would be right."""
    problem = only(MINIMAL + text)
    assert (problem.code, problem.where) == (code, f"shipway.toml:{line}")
    assert hint in problem.hint


MODELS = [
    ('name = "Flight Delay"', "config.not-allowed", "'flight-delay'"),
    ('block = "day"', "config.contradiction", "row"),
    ('time = "late"', "config.contradiction", "one column"),
    ("target = 3", "config.wrong-type", "text"),
]


@pytest.mark.parametrize(("line", "code", "hint"), MODELS)
def test_what_the_model_is_must_make_sense(line: str, code: str, hint: str) -> None:
    """Names, columns and blocks of the model are checked, one message each."""
    key = line.split(" ", maxsplit=1)[0]
    lines = [kept for kept in MINIMAL.splitlines() if not kept.startswith(f"{key} ")]
    problem = only("\n".join([lines[0], line, *lines[1:]]))
    assert (problem.code, problem.where) == (code, "shipway.toml:2")
    assert hint in problem.hint


def test_what_is_for_binary_models_is_refused_to_others() -> None:
    """A positive class or a threshold of a regression would be silently ignored, so it is told."""
    text = (
        '[model]\nname="m"\ntask="regression"\ntarget="y"\nthreshold=0.2\npositive="1"\n'
        '[[objectives]]\nmetric="rmse"\nat_most=3\n'
    )
    assert [p.where for p in problems(text)] == ["shipway.toml:5", "shipway.toml:6"]


def test_an_empty_file_is_told_what_it_needs() -> None:
    """Name, task, target and an objective are asked for, with what is allowed."""
    found = problems("")
    assert {problem.code for problem in found} == {"config.missing"}
    assert len(found) == 4


def test_single_brackets_for_objectives_are_explained() -> None:
    """[objectives] is told to be [[objectives]], and nothing else is complained of."""
    problem = only(f'{MODEL}[objectives]\nmetric = "roc_auc"\nat_least = 0.7\n')
    assert problem.code == "config.wrong-type"
    assert "[[objectives]]" in problem.hint


def test_a_setting_outside_of_sections_is_told_its_section() -> None:
    """A key above the first header is told where it belongs."""
    assert "[serve]" in only(f"workers = 2\n{MINIMAL}").hint


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("SHIPWAY_SERVE__PROT", "1", "config.unknown-key"),
        ("SHIPWAY_SERVE_PORT", "1", "config.unknown-key"),
        ("SHIPWAY_OBJECTIVES__METRIC", "f1", "config.unknown-key"),
        ("SHIPWAY_SERVE__PORT", "many", "config.wrong-type"),
        ("SHIPWAY_SERVE__PORT", "70000", "config.not-allowed"),
        ("SHIPWAY_MONITOR__MATURITY", "nan", "config.not-allowed"),
    ],
)
def test_a_wrong_variable_is_named(name: str, text: str, code: str) -> None:
    """A problem of the environment names the variable."""
    problem = only(MINIMAL, {name: text})
    assert (problem.where, problem.code) == (name, code)


def test_variables_that_are_not_settings_are_left_alone() -> None:
    """Other variables, and the address that Kubernetes gives a service, set nothing."""
    environ = {"SHIPWAY_KEY": "x", "SHIPWAY_SERVE_PORT": "tcp://10.0.0.1:80"}
    assert read(MINIMAL, environ).settings.serve.port == 8080


def test_a_wrong_flag_is_named() -> None:
    """A problem of the command line names the flag."""
    found = problems(MINIMAL, None, {"serve.prot": "1", "serve.workers": "-1"})
    assert [p.where for p in found] == ["flag serve.prot", "flag serve.workers"]
    assert "serve.port" in found[0].hint


@settings(max_examples=300)
@given(st.text(alphabet=" \n=[]{}'\"#,.ab1-", max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever the file holds, it is read or refused with places, never a crash."""
    for content in (text, MINIMAL + text):
        refusal = refusal_of(content)
        assert refusal is None or all(problem.where for problem in refusal.problems)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    """Without shipway.toml the next step is init."""
    with pytest.raises(ConfigError, match=r"no shipway\.toml") as caught:
        load_settings(tmp_path, environ={}, flags={})
    assert "shipway init" in caught.value.next_step


def test_bytes_that_are_not_text_are_refused_with_their_line(tmp_path: Path) -> None:
    """A file in another encoding is named, with the line of the first bad byte."""
    (tmp_path / "shipway.toml").write_bytes(b"[model]\nname = '\xff'\n")
    with pytest.raises(ConfigError, match="UTF-8") as caught:
        load_settings(tmp_path, environ={}, flags={})
    assert caught.value.problems[0].where == "shipway.toml:2"


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    """Editors that begin files with a mark are put up with."""
    (tmp_path / "shipway.toml").write_text("\ufeff" + MINIMAL, encoding="utf-8")
    assert load_settings(tmp_path, environ={}, flags={}).settings.model.name == "flight-delay"
