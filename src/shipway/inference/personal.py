"""What is written of a row in the place of personal columns; the model sees their values.

It is loaded by every worker, and so without the library of data frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from shipway.contract.schema import Contract, Personal
from shipway.domain.events import Scalar
from shipway.security.personal import PersonalKeys, Written


@dataclass(frozen=True, slots=True)
class Protection:
    """Takes the place of values, column by column; made once, at load."""

    columns: Mapping[str, Written | None]
    """What is written of a value, None where it is left out."""

    def received(
        self, columns: Mapping[str, list[Scalar]], names: Sequence[str], matrix: bytes
    ) -> dict[str, list[Scalar]]:
        """The *columns* of an event, or its *matrix* under *names*, as they may be written."""
        if matrix:
            table = np.frombuffer(matrix, dtype=np.float64).reshape(-1, len(names))
            columns = {
                name: [plain(value) for value in values]
                for name, values in zip(names, table.T.tolist(), strict=True)
            }
        return {
            name: self._written(self.columns[name], values) if name in self.columns else values
            for name, values in columns.items()
        }

    @staticmethod
    def _written(write: Written | None, values: list[Scalar]) -> list[Scalar]:
        if write is None:
            return [None] * len(values)
        return [None if value is None else write(value) for value in values]


def protection_of(contract: Contract, keys: PersonalKeys) -> Protection | None:
    """What protects the personal columns of *contract*, None where there are none.

    The key is made at its first use. Raises :class:`~shipway.errors.ConfigError` where a column is
    to be encrypted and nobody is named for whom, and KeyNotHeld where the key cannot be opened.
    """
    marked = {one.name: one.personal for one in contract.columns if one.personal is not None}
    if not marked:
        return None
    found: dict[str, Written | None] = dict.fromkeys(marked)
    if set(marked.values()) != {Personal.DROP}:
        key = keys.key(encrypts=Personal.ENCRYPT in marked.values())
        for name, how in marked.items():
            if how is Personal.HASH:
                found[name] = partial(key.hashed, name)
            elif how is Personal.ENCRYPT:
                found[name] = partial(key.sealed, name)
    return Protection(found)


def plain(value: object) -> Scalar:
    """*value* as a scalar: None for what is missing, text for what is no scalar."""
    if value is None or value != value:  # noqa: PLR0124 - NaN is a missing number
        return None
    return value if isinstance(value, str | int | float | bool) else str(value)
