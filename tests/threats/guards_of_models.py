"""What guards the opening of models, and what each guard is without itself."""

from __future__ import annotations

from tests.threats.guard import Guard

MODEL = (
    Guard(
        "bytes are of the declared format",
        "runtimes/loading.py",
        "check_declared(files[spec.main_file], _DECLARED[spec.format])",
        "pass",
    ),
    Guard(
        "a name agrees with the bytes",
        "runtimes/detection.py",
        "if promised not in (None, found):",
        "if False:",
    ),
    Guard("types of a skops file", "runtimes/safety.py", "    if unknown:\n", "    if False:\n"),
    Guard(
        "who says that a pickle is trusted",
        "runtimes/unpickling.py",
        "    if not trusted:\n",
        "    if False:\n",
    ),
    Guard(
        "pickles are found by their bytes",
        "runtimes/detection.py",
        "return _is_pickle(data[:_HEAD_BYTES]) or _is_compressed_pickle(data)",
        "return False",
    ),
    Guard(
        "pickles are found though compressed",
        "runtimes/detection.py",
        "return _is_pickle(data[:_HEAD_BYTES]) or _is_compressed_pickle(data)",
        "return _is_pickle(data[:_HEAD_BYTES])",
    ),
    Guard(
        "a pickle was signed by somebody named",
        "security/trust.py",
        "if believed.named and listed:",
        "if listed:",
    ),
    Guard(
        "a pickle is listed",
        "security/trust.py",
        "if believed.named and listed:",
        "if believed.named:",
    ),
    Guard("a pickle is confined", "security/trust.py", "if pickles and not confined:", "if False:"),
)
WIRE = (
    Guard(
        "types of requests of tensors",
        "serving/predicting.py",
        "    if kind not in types:\n",
        "    if False:\n",
    ),
    Guard(
        "types of invocations",
        "serving/protocols/invocations.py",
        "        if kind.name == JSON:\n",
        "        if True:\n",
    ),
    Guard(
        "no module opens pickles",
        "registry/cache.py",
        "import hashlib\nimport os\n",
        "import hashlib\nimport os\nimport pickle\n",
    ),
    Guard(
        "no module runs text",
        "domain/text.py",
        "    return str(value)\n",
        "    return str(eval('value'))\n",
    ),
    Guard(
        "no module reads YAML that makes objects",
        "contract/nodes.py",
        '"CSafeLoader", yaml.SafeLoader)',
        '"CUnsafeLoader", yaml.UnsafeLoader)',
    ),
)
