"""The blocks that are files: each is read by what reads such a file in the product."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import yaml

from shipway.config.load import load_settings
from shipway.contract import odcs

_MODEL = """\
[model]
name = "docs"
task = "binary-classification"
target = "y"
time = "t"
"""
_OBJECTIVE = """\
[[objectives]]
metric = "roc_auc"
at_least = 0.5
"""


def read_toml(source: str, folder: Path) -> None:
    """Load *source* as ``shipway.toml``; a piece of one is completed first."""
    said = tomllib.loads(source)
    before = "" if "model" in said else _MODEL
    after = "" if "objectives" in said else _OBJECTIVE
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join(part for part in (before, source, after) if part)
    (folder / "shipway.toml").write_text(text, encoding="utf-8")
    load_settings(folder, environ={}, flags={})


def read_yaml(source: str) -> None:
    """Load *source* as a contract if it says that it is one, else as YAML."""
    said = yaml.safe_load(source)
    if isinstance(said, dict) and said.get("kind") == "DataContract":
        odcs.load(source)


def read_json(source: str) -> None:
    """Decode *source* as JSON."""
    msgspec.json.decode(source)
