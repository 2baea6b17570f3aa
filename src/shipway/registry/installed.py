"""What is installed, by content: enough to tell whether another environment is the same.

A distribution's ``RECORD`` names each of its files with a digest. The digest here is of those
lines that are the same wherever the same wheel is installed: scripts carry a path of the machine,
and who installed it when is no part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path

_OF_THE_MACHINE = ("/INSTALLER", "/REQUESTED", "/direct_url.json", "/RECORD")
_FOLDERS = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_LIBRARIES = ("libstdc++.so.6", "libgomp.so.1", "libopenblas.so.0", "liblapack.so.3", "libm.so.6")
_SEEDS = ("random_state", "random_seed", "seed")


def installed_contents() -> dict[str, str]:
    """A digest of what each installed distribution consists of, by its normalised name.

    One that has no record of its files, or is not copied but linked, is left out.
    """
    found: dict[str, str] = {}
    for each in distributions():
        record = each.read_text("RECORD")
        name = each.metadata["Name"]
        if record and name:
            kept = sorted(line for line in record.splitlines() if _tells(line))
            digest = hashlib.sha256("\n".join(kept).encode()).hexdigest()
            found[name.lower().replace("_", "-").replace(".", "-")] = f"sha256:{digest}"
    return dict(sorted(found.items()))


def host_libraries() -> dict[str, str]:
    """The files behind the machine's own libraries that results of numbers depend on."""
    return {name: path for name in _LIBRARIES if (path := _behind(name))}


def seed_in(parameters: Mapping[str, object]) -> int | None:
    """The seed among the hyperparameters of a model: its own, or that of its only seeded part."""
    for name in _SEEDS:
        if isinstance(parameters.get(name), int):
            return _whole(parameters[name])
    inner = {
        _whole(value)
        for name, value in parameters.items()
        if name.rpartition("__")[2] in _SEEDS and isinstance(value, int)
    }
    return inner.pop() if len(inner) == 1 else None


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> Iterable[tuple[str, str, str]]:
    """What is not the same: name, then, now; "" for what was or is not there."""
    for name in sorted(then.keys() | now.keys()):
        before, after = then.get(name, ""), now.get(name, "")
        if before != after:
            yield name, before, after


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _tells(line: str) -> bool:
    path, _, _ = line.partition(",")
    passing = path.endswith((*_OF_THE_MACHINE, ".pyc")) or path.startswith(("..", "/"))
    return bool(path) and not passing


def _behind(name: str) -> str:
    """The name of the file that *name* is a link to: ``libstdc++.so.6.0.33``."""
    for folder in _FOLDERS:
        for path in (Path(folder, name), *sorted(Path(folder).glob(f"*-linux-gnu/{name}"))):
            if path.exists():
                return path.resolve().name
    return ""
