"""What a contract says: the columns of a model's data and the promise about each.

Pure data. ``infer`` makes one from a frame, ``odcs`` reads and writes the file, ``compiled``
turns it into checkers, ``bins`` counts a column into its reference bins.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from shipway.domain.events import Scalar
from shipway.domain.metrics import Task
from shipway.domain.model import Kind


class Role(StrEnum):
    """What a column is for. Only features reach the model."""

    FEATURE = "feature"
    TARGET = "target"
    TIME = "time"
    ID = "id"
    GROUP = "group"
    WEIGHT = "weight"
    IGNORED = "ignored"


class Policy(StrEnum):
    """What happens to a value that breaks a rule.

    ``reject`` and ``quarantine`` refuse its row. A table that is scored goes on without it, up to
    a share of rejected rows; those in quarantine are expected, and not counted in that.
    ``impute`` puts the value of the training data in its place, ``clip`` the nearest bound, and
    ``warn`` nothing; how often they do is counted by rule.
    """

    REJECT = "reject"
    QUARANTINE = "quarantine"
    IMPUTE = "impute"
    CLIP = "clip"
    WARN = "warn"

    @property
    def refuses(self) -> bool:
        """Whether the model never sees the row."""
        return self in (Policy.REJECT, Policy.QUARANTINE)


class Personal(StrEnum):
    """What is written of a personal column: nothing, a keyed hash, or the value encrypted."""

    DROP = "drop"
    HASH = "hash"
    ENCRYPT = "encrypt"


class NumericBins(msgspec.Struct, frozen=True, kw_only=True, tag="numeric"):
    """Counts of the training data between fixed ``edges``, for drift.

    With k edges there are k + 1 bins: below the first edge, between each pair (left closed),
    and from the last edge on; ``counts`` has k + 1 entries and ``missing`` stands apart.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    missing: int


class CategoricalBins(msgspec.Struct, frozen=True, kw_only=True, tag="categorical"):
    """Counts of the training data a category, in the order of ``categories``, and the rest."""

    categories: tuple[str, ...]
    counts: tuple[int, ...]
    other: int
    missing: int


Bins = NumericBins | CategoricalBins


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """The promise about one column.

    ``nullable`` false lets no value be missing. ``minimum`` and ``maximum`` bound numbers,
    ``categories`` lists the strings (or booleans, integers as text) that training saw, and
    ``pattern`` is what every text looks like. What happens to what breaks these is ``missing``,
    ``out_of_range``, ``unseen`` and ``mismatched``; ``fill`` is the value of the training data that
    is imputed. ``unique`` says that no two rows of a table have the same value; who checks a whole
    table holds it to that. ``example`` is a real value. Of a ``personal`` column the model sees the
    values, and nothing that is written has them.
    """

    name: str
    kind: Kind
    role: Role = Role.FEATURE
    nullable: bool = False
    missing: Policy = Policy.REJECT
    null_rate: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    out_of_range: Policy = Policy.WARN
    categories: tuple[str, ...] | None = None
    unseen: Policy = Policy.WARN
    pattern: str = ""
    mismatched: Policy = Policy.WARN
    fill: Scalar = None
    unique: bool = False
    bins: Bins | None = None
    example: Scalar = None
    description: str = ""
    personal: Personal | None = None

    @property
    def policies(self) -> tuple[Policy, ...]:
        """What happens to what breaks its rules, for those that it has."""
        rules = (
            (not self.nullable, self.missing),
            (not self.minimum is self.maximum is None, self.out_of_range),
            (self.categories is not None, self.unseen),
            (bool(self.pattern), self.mismatched),
        )
        return tuple(policy for there, policy in rules if there)


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """The promise about the data of one model; ``rows`` is how many it was inferred from.

    ``range_slack`` is the share of a column's observed spread that its range was widened by at
    either end, and ``notes`` say what inference left out and why.
    """

    model: str
    task: Task
    columns: tuple[Column, ...]
    rows: int = 0
    description: str = ""
    range_slack: float = 0.0
    notes: tuple[str, ...] = ()

    def having(self, *roles: Role) -> tuple[Column, ...]:
        """The columns with one of *roles*, in the order of the file."""
        return tuple(column for column in self.columns if column.role in roles)

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each column by name, for ``tables.read_table``."""
        return {column.name: column.kind for column in self.columns}

    @property
    def features(self) -> tuple[Column, ...]:
        """What the model sees, in order."""
        return self.having(Role.FEATURE)

    @property
    def target(self) -> Column | None:
        """What the model predicts."""
        return next(iter(self.having(Role.TARGET)), None)

    @property
    def time(self) -> Column | None:
        """When the thing that a row describes happens."""
        return next(iter(self.having(Role.TIME)), None)

    @property
    def request_columns(self) -> tuple[Column, ...]:
        """What a request carries: the features always; time, id and group where it wants to."""
        return self.having(Role.FEATURE, Role.TIME, Role.ID, Role.GROUP)
