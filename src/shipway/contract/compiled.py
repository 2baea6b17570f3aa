"""A contract made ready to be kept: one checker for requests, one for tables, the same answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from numpy.typing import NDArray

from shipway.contract.frames import FrameChecker, FrameReport, RuleCount
from shipway.contract.requests import Checked, RequestChecker, Values
from shipway.contract.schema import Contract
from shipway.contract.violations import Violation

__all__ = ["Checked", "CompiledContract", "FrameReport", "RuleCount", "Violation"]


class CompiledContract:
    """The checkers of *contract*, made once at load and safe to share between threads.

    Raises :class:`~shipway.errors.ContractError` for a contract without features.
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._requests = RequestChecker(contract)
        self._frames = FrameChecker(contract)

    def check_request(self, columns: Mapping[str, Values]) -> Checked:
        """*columns* (lists of JSON scalars, or arrays) as the model's arrays, or every fault.

        Features must all be there; time, id and group columns may; nothing else may.
        """
        return self._requests.check(columns)

    def check_frame(self, frame: pl.DataFrame, *, target: bool = False) -> FrameReport:
        """Every fault of *frame*, row by row the same as :meth:`check_request` finds.

        Columns that the contract does not know are noted, not refused. With *target* the values of
        the target are checked too.
        """
        return self._frames.check(frame, target=target)

    def encode(self, frame: pl.DataFrame) -> dict[str, NDArray[Any]]:
        """The features of *frame* as arrays, bit for bit those that :meth:`check_request` gives.

        A frame without rows gives empty arrays. Raises
        :class:`~shipway.errors.ContractViolated` with the faults when there are any.
        """
        report = self._frames.check(frame, target=False)
        if not report.ok and (frame.height or len(report.violations) > 1):
            raise report.error()
        return self._frames.encode(frame)

    def encode_checked(self, frame: pl.DataFrame) -> dict[str, NDArray[Any]]:
        """The same of a *frame* whose every row :meth:`check_frame` has found without fault."""
        return self._frames.encode(frame)
