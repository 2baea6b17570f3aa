"""Limits and the settings that move them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from shipway.bootstrap.processes import ProcessPlan
from shipway.config.settings import ServeSettings
from shipway.serving.http.limits import Limits

NO_SETTING = {"linger_s"}
"""How politely a connection ends is nobody's wish."""


def test_every_limit_is_a_setting() -> None:
    """Each limit has a setting of its own name, with the same default but for the queue."""
    names = {field.name for field in fields(Limits)}
    assert names - set(ServeSettings.__struct_fields__) == NO_SETTING
    plan = ProcessPlan(home="/", model="m", serve=ServeSettings())
    assert plan.limits == Limits(queue_rows=ServeSettings().queue_rows)


def test_settings_reach_the_workers() -> None:
    """What is set is what a worker goes by."""
    plan = ProcessPlan(home="/", model="m", serve=ServeSettings(max_chunks=7, keep_alive_s=1.5))
    assert (plan.limits.max_chunks, plan.limits.keep_alive_s) == (7, 1.5)


def test_limits_are_named() -> None:
    """The errors of HTTP and of gRPC name settings that exist."""
    serving = Path(__file__).parents[3] / "src/shipway/serving"
    modules = [*serving.glob("http/*.py"), *serving.glob("rpc/*.py")]
    text = "".join(path.read_text() for path in modules)
    named = set(re.findall(r"serve\.([a-z_]+)", text))
    assert named <= set(ServeSettings.__struct_fields__)
    assert {
        "max_body_bytes",
        "max_chunks",
        "max_head_bytes",
        "max_connections",
        "grpc_max_calls",
    } <= named
