"""``contract``: inferred from the training table, tables held against it, and compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from shipway.api.score import version_or_live
from shipway.batch.validate import TableReport
from shipway.batch.validate import validate as validate_table
from shipway.bootstrap.predictors import contract_of
from shipway.bootstrap.project import Project
from shipway.contract import odcs
from shipway.contract.diff import Breaks, Change, compare
from shipway.contract.infer import infer
from shipway.contract.marking import marked
from shipway.contract.schema import Contract, Personal
from shipway.contract.tables import read_table
from shipway.domain.progress import SILENT, Progress
from shipway.durable import SHARED, replace_file, storing
from shipway.errors import UsageError
from shipway.inference.personal import protection_of


class InferredContract(msgspec.Struct, frozen=True, kw_only=True):
    """A contract and where it was written; ``written`` is False in a dry run."""

    contract: Contract
    path: str
    written: bool


def infer_contract(
    project: Project,
    *,
    data: Path | None = None,
    personal: Mapping[str, Personal] | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> InferredContract:
    """Infer ``contract.yaml`` from the training table (or *data*) and write it.

    Columns of *personal* are marked so, and no value of theirs is in it. Raises
    :class:`~shipway.errors.UsageError` for one that there is not, and rather than replace a
    contract without *force*.
    """
    path = project.contract_path
    if path.exists() and not force and not dry_run:
        raise UsageError(
            f"{path.name} is there already",
            next_step="edit it by hand, or replace it with `shipway contract infer --force`",
        )
    model = project.settings.model
    contract = infer(
        read_table(project.table_path(data, "train")),
        model=model.name,
        task=model.task,
        target=model.target,
        time=model.time,
        id=model.id,
        positive=model.positive,
    )
    contract = marked(contract, personal or {})
    if not dry_run:
        with storing(path):
            replace_file(path, odcs.dump(contract).encode(), mode=SHARED)
        project.forget_contract()
    return InferredContract(contract=contract, path=str(path), written=not dry_run)


def validate(
    project: Project,
    data: Path,
    *,
    good: Path | None = None,
    bad: Path | None = None,
    progress: Progress = SILENT,
) -> TableReport:
    """Hold *data* against the contract: every violation, and every soft warning.

    Its good rows are written to *good*, the others with their reasons to *bad* (CSV).
    """
    contract = project.contract
    protection = None if bad is None else protection_of(contract, project.personal)
    return validate_table(
        data, contract, good=good, bad=bad, protection=protection, progress=progress
    )


class ContractDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The changes between two contracts, by name; ``compatible`` if no caller is broken."""

    old: str
    new: str
    compatible: bool
    changes: tuple[Change, ...]


def diff_contracts(
    project: Project, old: str | None = None, new: str | None = None
) -> ContractDiff:
    """What changes from *old* (the live version's contract) to *new* (``contract.yaml``).

    Each is a file or a version. Raises :class:`~shipway.errors.NotFoundError` for neither.
    """
    before_name, before = _contract_of(project, old) if old else _live(project)
    after_name, after = (
        _contract_of(project, new) if new else (project.contract_path.name, project.contract)
    )
    changes = compare(before, after)
    return ContractDiff(
        old=before_name,
        new=after_name,
        compatible=not any(Breaks.CALLERS in change.breaks for change in changes),
        changes=changes,
    )


def _live(project: Project) -> tuple[str, Contract]:
    version = version_or_live(project, None)
    return version.ref, contract_of(project.registry, version)


def _contract_of(project: Project, name: str) -> tuple[str, Contract]:
    path = Path(name)
    if path.is_file():
        return name, odcs.load(path.read_text(encoding="utf-8"), source=name)
    version = project.registry.resolve(name, project.model)
    return version.ref, contract_of(project.registry, version)
