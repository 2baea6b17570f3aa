"""One score of a table in a process of its own, on one core; its seconds and its memory.

``python -m benchmarks.batches.scoring PROJECT TABLE OUT`` scores with what is live; ``raw GRAPH
TABLE`` runs the bare graph over arrays that are in memory already.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main(words: list[str]) -> None:
    """Score, and print one line of JSON."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    seconds, rows = _raw(*words[1:]) if words[0] == "raw" else _score(*words)
    print(json.dumps({"seconds": seconds, "rows": rows, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    """The most memory that this process had; the kernel's ``ru_maxrss`` begins at its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _score(project: str, table: str, out: str) -> tuple[float, int]:
    from shipway.api.score import score
    from shipway.bootstrap.project import open_project

    summary = score(open_project(Path(project)), Path(table), Path(out), events=False)
    return summary.seconds, summary.rows


def _raw(graph: str, table: str) -> tuple[float, int]:
    import numpy as np
    import onnxruntime
    import polars as pl

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
    rows = pl.read_parquet(table).cast(pl.Float32).to_numpy(order="c")
    chunks = [rows[start : start + 50_000] for start in range(0, len(rows), 50_000)]
    began = time.perf_counter()
    scores = [session.run(None, {"rows": chunk})[1][:, 1] for chunk in chunks]
    assert np.isfinite(np.concatenate(scores)).all()
    return time.perf_counter() - began, len(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
