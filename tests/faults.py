"""The file operation number N fails; the others do not."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

OPERATIONS = ("write", "fsync", "open", "rename", "unlink")


class Fault:
    """The call number ``step`` of one operation fails with *number*; earlier and later do not."""

    def __init__(self, name: str, number: int = errno.ENOSPC) -> None:
        moved = {"rename": "replace", "unlink": "unlink"}
        self.target: tuple[Any, str] = (Path, moved[name]) if name in moved else (os, name)
        self.real: Callable[..., Any] = getattr(*self.target)
        self.number = number
        self.step = self.calls = 0

    def next(self) -> bool:
        """Let the next call fail; False once the last round had no call to fail."""
        more = self.calls >= self.step
        self.step, self.calls = self.step + 1, 0
        return more

    @property
    def call(self) -> Callable[..., Any]:
        def fail(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.step:
                raise OSError(self.number, os.strerror(self.number))
            return self.real(*arguments, **options)

        return fail
