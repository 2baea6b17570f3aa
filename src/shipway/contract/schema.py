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
    """What happens to a row that breaks a soft rule: refused, or answered and counted."""

    REJECT = "reject"
    WARN = "warn"


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

    ``nullable`` false refuses missing values. ``minimum`` and ``maximum`` bound numbers and
    ``categories`` lists the strings (or booleans, integers as text) that training saw; what
    happens outside of them is ``out_of_range`` and ``unseen``. ``example`` is a real value. Of a
    ``personal`` column the model sees the values, and nothing that is written has them.
    """

    name: str
    kind: Kind
    role: Role = Role.FEATURE
    nullable: bool = False
    null_rate: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    out_of_range: Policy = Policy.WARN
    categories: tuple[str, ...] | None = None
    unseen: Policy = Policy.WARN
    bins: Bins | None = None
    example: Scalar = None
    description: str = ""
    personal: Personal | None = None


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
