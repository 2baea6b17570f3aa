"""What bounds a request, and what each bound is without itself."""

from __future__ import annotations

from tests.threats.guard import Guard

TENSORS = (
    Guard(
        "shapes of tensors",
        "serving/protocols/oip_inputs.py",
        "if rows < 0 or (len(shape) != 1 and (len(shape) != 2 or shape[1] != 1)):",
        "if rows < 0:",
    ),
    Guard(
        "as many values as the shape says",
        "serving/protocols/oip_inputs.py",
        "    if len(data) != rows:\n",
        "    if False:\n",
    ),
    Guard(
        "bytes that are there",
        "serving/protocols/oip_inputs.py",
        "or not 0 <= size <= len(blobs):",
        "or False:",
    ),
    Guard(
        "bytes that fit the shape",
        "serving/protocols/tensors.py",
        "if len(blob) != rows * dtype.itemsize:",
        "if False:",
    ),
    Guard(
        "no shared memory",
        "serving/protocols/oip_inputs.py",
        'if "shared_memory_region" in parameters:',
        "if False:",
    ),
    Guard(
        "not too many values",
        "serving/protocols/bounds.py",
        'if len(body) > self.max_elements and body.count(b",") >= self.max_elements:',
        "if False:",
    ),
)
BODIES = (
    Guard(
        "what a body unpacks to",
        "serving/http/bodies.py",
        "if len(unpacked) > allowed:",
        "if False:",
    ),
    Guard(
        "how deep a body nests",
        "serving/protocols/bounds.py",
        'if _depth(_STRING.sub(b"", body)) > limit:',
        "if False:",
    ),
    Guard(
        "how many chunks a body has",
        "serving/http/chunks.py",
        "elif self.count > self._limits.max_chunks:",
        "elif False:",
    ),
    Guard(
        "how large chunks are together",
        "serving/http/chunks.py",
        "if self._announced > self._limits.max_body_bytes:",
        "if False:",
    ),
    Guard(
        "how large a body is said to be",
        "serving/http/grammar.py",
        "        if size > limits.max_body_bytes:",
        "        if False:",
    ),
    Guard(
        "how many headers there are",
        "serving/http/grammar.py",
        'if lines.count(b"\\n") > limits.max_headers:',
        "if False:",
    ),
)
EXPRESSIONS = (
    Guard(
        "codings",
        "serving/http/coding.py",
        "rb\"([!#$%&'*+\\-.^_`|~0-9A-Za-z]+)",
        "rb\"((?:[!#$%&'*+\\-.^_`|~0-9A-Za-z]+)+)",
    ),
    Guard(
        "names",
        "domain/names.py",
        '_ALLOWED = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}"',
        '_ALLOWED = re.compile(r"([a-z0-9]+[._-]*)+"',
    ),
    Guard("blanks in settings", "config/positions.py", "#[^\\n]*+)*+", "#[^\\n]*)*"),
    Guard(
        "text in documents",
        "documents/wording.py",
        '_LEADING = re.compile(r"^(?:[-+]',
        '_LEADING = re.compile(r"^(?:(?:[-+]+)*[-+]',
    ),
)
METRICS = (
    Guard(
        "refusals are counted by their code",
        "serving/dataplane.py",
        'self._counters.counter("shipway_http_refused_total", refusal.error.code).add()',
        'self._counters.counter("shipway_http_refused_total", refusal.error.message).add()',
    ),
    Guard(
        "cells of a file",
        "serving/counters.py",
        "if not fits or self._next_cell + family.cells > CELLS - _SPARE:",
        "if not fits:",
    ),
    Guard(
        "names of a file",
        "serving/counters.py",
        "if not fits or self._next_cell + family.cells > CELLS - _SPARE:",
        "if self._next_cell + family.cells > CELLS - _SPARE:",
    ),
)
