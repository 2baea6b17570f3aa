"""A version as a directory that ``mlflow.pyfunc.load_model`` reads, without Shipway and its store.

The model is the bundle for the edge, and one file of code lets MLflow ask it. MLflow itself is not
needed to write one. The fields are those of MLflow's file ``MLmodel``.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import yaml

from shipway.contract.schema import Column, Contract, Role
from shipway.domain.model import Kind, ModelSpec
from shipway.domain.text import text_of
from shipway.durable import storing
from shipway.packaging.edge import build_bundle
from shipway.packaging.folders import replacing, write_file
from shipway.registry.records import Version

MLMODEL = "MLmodel"
_HEADER = "# Made by shipway export\n"
_LOADER = "shipway_mlflow_loader"
_BUNDLE, _CODE = "bundle", "code"
_NEEDED = ("mlflow>=2.19", "pandas>=2.2")
_TYPES: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.NUMBER: "double",
        Kind.INTEGER: "long",
        Kind.BOOLEAN: "boolean",
        Kind.STRING: "string",
        Kind.DATE: "datetime",
        Kind.TIMESTAMP: "datetime",
    }
)


def build_mlflow(
    out: Path, *, version: Version, contract: Contract, model: bytes, force: bool = False
) -> tuple[str, ...]:
    """Make the directory of *version* in *out*, whole or not at all; the files in it.

    *model* are the bytes of the version's main file. Equal inputs give equal bytes. Raises what
    :func:`~shipway.packaging.edge.build_bundle` does.
    """
    with storing(out), replacing(out, marker=MLMODEL, begins=_HEADER.encode(), force=force) as made:
        bundle = made / _BUNDLE
        build_bundle(bundle, version=version, contract=contract, model=model)
        pins = (bundle / "requirements.txt").read_text(encoding="utf-8")
        python = version.manifest.lineage.python or platform.python_version()
        needed = [*pins.split(), *_NEEDED]
        loader = files("shipway.packaging").joinpath("templates/mlflow_loader.py").read_bytes()
        for name, content in {
            MLMODEL: _HEADER + _yaml(_mlmodel(version, contract, python)),
            "requirements.txt": "".join(f"{one}\n" for one in needed),
            "conda.yaml": _yaml(_conda(python, needed)),
            "python_env.yaml": _yaml(
                {
                    "python": python,
                    "build_dependencies": ["pip"],
                    "dependencies": ["-r requirements.txt"],
                }
            ),
        }.items():
            write_file(made, name, content.encode())
        write_file(made, f"{_CODE}/{_LOADER}.py", loader)
        return tuple(
            sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
        )


def _mlmodel(version: Version, contract: Contract, python: str) -> dict[str, object]:
    spec = version.manifest.spec
    by_name = {column.name: column for column in contract.request_columns}
    others = [one for one in contract.request_columns if one.role is not Role.FEATURE]
    columns = [*(by_name[one.name] for one in spec.inputs), *others]
    return {
        "flavors": {
            "python_function": {
                "loader_module": _LOADER,
                "code": _CODE,
                "data": _BUNDLE,
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "python_version": python,
            }
        },
        "metadata": {"shipway_version": version.ref, "shipway_digest": version.digest},
        "model_uuid": version.digest.removeprefix("sha256:")[:32],
        "signature": {
            "inputs": json.dumps([_column(one) for one in columns]),
            "outputs": json.dumps(_outputs(spec)),
            "params": None,
        },
        "utc_time_created": version.created_at.strftime("%Y-%m-%d %H:%M:%S.%f"),
    }


def _column(column: Column) -> dict[str, object]:
    """A column as MLflow asks for it.

    MLflow takes no missing value in whole numbers and booleans, so those may be of any type there;
    the contract is held against them in any case.
    """
    gaps = column.nullable and column.kind in (Kind.INTEGER, Kind.BOOLEAN)
    return {
        "name": column.name,
        "type": "any" if gaps else _TYPES[column.kind],
        "required": column.role is Role.FEATURE,
    }


def _outputs(spec: ModelSpec) -> list[dict[str, object]]:
    kind = "double"
    if spec.classes:
        first = spec.classes[0]
        named = {bool: "boolean", int: "long", float: "double", str: "string"}
        kind = named.get(type(first), "string")
    outputs: list[dict[str, object]] = [{"name": "prediction", "type": kind}]
    if len(spec.classes) == 2:
        outputs.append({"name": "score", "type": "double"})
    else:
        outputs += [
            {"name": f"probability_{text_of(one)}", "type": "double"} for one in spec.classes
        ]
    return [{**one, "required": True} for one in outputs]


def _conda(python: str, needed: list[str]) -> dict[str, object]:
    return {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": needed}],
    }


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=True, allow_unicode=True, width=100)
