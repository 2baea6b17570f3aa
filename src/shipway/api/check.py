"""``check``: is everything there, does it fit together, and where does each setting come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec

from shipway.bootstrap.project import Project
from shipway.config.load import Setting
from shipway.contract.tables import read_table
from shipway.errors import Problem, ShipwayError

_ROWS_NAMED = 10


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a project's files say: its settings with their origins, problems, and remarks."""

    settings: tuple[Setting, ...]
    problems: tuple[Problem, ...]
    remarks: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether nothing stands in the way of `pack` and `gate`."""
        return not self.problems


def check(project: Project) -> Checked:
    """Check the contract and the tables of *project* against each other and its settings.

    A malformed ``shipway.toml`` was refused when the project was opened, with all its problems.
    """
    problems: list[Problem] = []
    remarks: list[str] = []
    steps = (_check_contract, _check_train, _check_test, _check_order)
    for step in steps:
        problems += _problems_of(step, project, remarks)
    return Checked(
        settings=project.loaded.origins, problems=tuple(problems), remarks=tuple(remarks)
    )


def _problems_of(
    step: Callable[[Project, list[str]], list[Problem]], project: Project, remarks: list[str]
) -> list[Problem]:
    """What *step* finds; an error that it meets is a problem with its next step as the hint."""
    try:
        return step(project, remarks)
    except ShipwayError as error:
        return list(error.problems) or [Problem(error.code, error.message, hint=error.next_step)]


def _check_contract(project: Project, remarks: list[str]) -> list[Problem]:
    contract, model = project.contract, project.settings.model
    said = {
        "model": (contract.model, model.name),
        "task": (str(contract.task), str(model.task)),
        "target": (contract.target.name if contract.target else None, model.target),
        "time": (contract.time.name if contract.time else None, model.time),
    }
    remarks.append(f"contract.yaml: {len(contract.features)} features, {contract.rows} rows")
    return [
        Problem(
            "check.contract-differs",
            f"the {what} is {in_contract!r} in contract.yaml and {in_settings!r} in shipway.toml",
            where="contract.yaml",
            hint="infer the contract anew: `shipway contract infer --force`",
        )
        for what, (in_contract, in_settings) in said.items()
        if in_contract != in_settings
    ]


def _check_train(project: Project, remarks: list[str]) -> list[Problem]:
    return _check_table(project, "train", remarks)


def _check_test(project: Project, remarks: list[str]) -> list[Problem]:
    if project.settings.data.test is None:
        remarks.append("data.test is not set: `gate` needs a table that the model has not seen")
        return []
    return _check_table(project, "test", remarks)


def _check_table(project: Project, setting: str, remarks: list[str]) -> list[Problem]:
    path = project.table_path(None, setting)
    table = read_table(path, kinds=project.contract.kinds)
    target = project.settings.model.target
    if target not in table.columns:
        return [
            Problem(
                "check.no-target",
                f"the table has no column {target!r}, which [model] target names",
                where=path.name,
                hint=f"its columns are {', '.join(table.columns)}",
            )
        ]
    report = project.compiled.check_frame(table, target=True)
    remarks.append(f"data.{setting}: {table.height} rows, {report.total} violations")
    remarks += [f"data.{setting}: {note}" for note in report.notes]
    found = [violation.problem() for violation in report.violations[:_ROWS_NAMED]]
    return [replace(problem, where=f"{path.name}, {problem.where}") for problem in found]


def _check_order(project: Project, remarks: list[str]) -> list[Problem]:
    """Test rows must come after training rows where there is a time column."""
    time, data = project.settings.model.time, project.settings.data
    if time is None or data.test is None or data.train is None:
        return []
    train = read_table(project.table_path(None, "train"), kinds=project.contract.kinds)
    test = read_table(project.table_path(None, "test"), kinds=project.contract.kinds)
    if time not in train.columns or time not in test.columns:
        return []
    last, first = train[time].max(), test[time].min()
    if last is None or first is None or first > last:  # type: ignore[operator]
        return []
    return [
        Problem(
            "check.test-not-later",
            f"the test table begins at {first!s}, before the training table ends at {last!s}",
            where=str(data.test),
            hint="split by time: a model is judged on days later than those it learned from",
        )
    ]
