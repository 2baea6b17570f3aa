"""Writes what Python reads of the gRPC protocol, or with ``--check`` says that it is stale.

The messages get a pool of descriptors of their own: every client of the Open Inference Protocol
registers the package ``inference`` in the process's default pool, where a second one is an error.
"""

from __future__ import annotations

import base64
import importlib.resources
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

FOLDER = Path(__file__).parents[1] / "src" / "shipway" / "serving" / "rpc"
NAMES = ("health", "open_inference", "reflection")

_MODULE = '''\
"""The messages of ``{name}.proto``, in a pool of their own. Made by ``docs/stubs.py``."""

import base64

from google.protobuf import descriptor_pool
from google.protobuf.internal import builder

_FILE = """
{encoded}
"""

DESCRIPTOR = descriptor_pool.DescriptorPool().AddSerializedFile(base64.b64decode(_FILE))
builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())
builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, __name__, globals())
'''


def stubs() -> dict[Path, str]:
    """The modules and their types, by the path where each belongs."""
    return {path: text for name in NAMES for path, text in _stubs(name).items()}


def _stubs(name: str) -> dict[Path, str]:
    with tempfile.TemporaryDirectory() as folder:
        described = Path(folder) / "described"
        well_known = importlib.resources.files("grpc_tools") / "_proto"
        arguments = [
            "protoc",
            f"-I{FOLDER}",
            f"-I{well_known}",
            f"--pyi_out={folder}",
            f"--descriptor_set_out={described}",
            f"{name}.proto",
        ]
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc refused the protocol; it has said why")
        (file,) = FileDescriptorSet.FromString(described.read_bytes()).file
        types = (Path(folder) / f"{name}_pb2.pyi").read_text(encoding="utf-8")
    encoded = base64.b64encode(file.SerializeToString(deterministic=True)).decode()
    module = _MODULE.format(name=name, encoded="\n".join(textwrap.wrap(encoded, 96)))
    return {FOLDER / f"{name}_pb2.py": module, FOLDER / f"{name}_pb2.pyi": types}


def main(arguments: Sequence[str]) -> int:
    """Write them, or check them; the exit code."""
    stale = [
        (path, text)
        for path, text in stubs().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in arguments:
        for path, _ in stale:
            sys.stderr.write(f"{path.name} is stale: run `python docs/stubs.py`\n")
        return 1 if stale else 0
    for path, text in stale:
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
