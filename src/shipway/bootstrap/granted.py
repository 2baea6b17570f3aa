"""What the settings grant to processes that may misbehave."""

from __future__ import annotations

from shipway.config.settings import ServeSettings
from shipway.runtimes.port import ProcessLimits


def process_limits(serve: ServeSettings) -> ProcessLimits:
    """What *serve* grants to trials, and to models that run in processes of their own."""
    return ProcessLimits(
        load_timeout_s=serve.load_timeout_s,
        answer_timeout_s=serve.model_timeout_s,
        memory_bytes=serve.model_memory_bytes,
    )
