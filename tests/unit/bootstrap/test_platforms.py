"""A container on SageMaker or Vertex: the platform chooses port and routes, and lets callers in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shipway.bootstrap.processes import ProcessPlan, server_plan
from shipway.config.settings import Platform, ServeSettings
from shipway.errors import ConfigError, UsageError
from shipway.serving.doors import Doors
from shipway.serving.plan import ServerPlan
from shipway.serving.supervisor import supervise

ANYWHERE = "0.0.0.0"


def planned(environ: dict[str, str], **serve: Any) -> tuple[ServerPlan, ProcessPlan]:
    """The supervisor's plan and the children's."""
    plan = server_plan(Path("/nowhere"), "m", ServeSettings(**serve), environ=environ)
    told = json.loads(plan.worker_command[-1])
    doors = Doors(**told.get("doors", {}))
    return plan, ProcessPlan(home="/nowhere", model="m", serve=ServeSettings(), doors=doors)


def test_sagemaker_chooses_the_port() -> None:
    """The port that SageMaker binds to is taken, and predictions need no key."""
    plan, child = planned({"SAGEMAKER_BIND_TO_PORT": "8090"}, platform=Platform.SAGEMAKER)
    assert (plan.port, plan.behind_platform, child.doors) == (8090, True, Doors())


def test_vertex_chooses_port_and_routes() -> None:
    """Vertex's port and both of its routes are taken; where it says none there are usual ones."""
    routes = {"AIP_PREDICT_ROUTE": "/v1/endpoints/7:predict", "AIP_HEALTH_ROUTE": "/healthy"}
    plan, child = planned({"AIP_HTTP_PORT": "9000", **routes}, platform=Platform.VERTEX)
    assert plan.port == 9000
    assert child.doors == Doors(predict="/v1/endpoints/7:predict", health="/healthy")
    plan, child = planned({}, platform=Platform.VERTEX)
    assert (plan.port, child.doors) == (8080, Doors(predict="/predict", health="/health"))


def test_elsewhere_the_variables_mean_nothing() -> None:
    """Without the setting no variable of a platform opens or moves anything."""
    environ = {"SAGEMAKER_BIND_TO_PORT": "1", "AIP_HTTP_PORT": "2", "AIP_PREDICT_ROUTE": "/x"}
    plan, child = planned(environ)
    assert (plan.port, plan.behind_platform, child.doors) == (8080, False, Doors())


@pytest.mark.parametrize(
    "environ",
    [
        {"AIP_HTTP_PORT": "http"},
        {"AIP_HTTP_PORT": "0"},
        {"AIP_HTTP_PORT": "70000"},
        {"AIP_PREDICT_ROUTE": "predict"},
        {"AIP_HEALTH_ROUTE": "/a b"},
        {"AIP_HEALTH_ROUTE": "/a?b"},
    ],
)
def test_nonsense_is_refused(environ: dict[str, str]) -> None:
    """A port that is none, and a route that is no path, end the start with the variable's name."""
    with pytest.raises(ConfigError, match=next(iter(environ))):
        planned(environ, platform=Platform.VERTEX)


def test_the_control_port_stays_closed() -> None:
    """A platform lets nobody in to the control port: open to all without keys it is refused."""
    plan, _ = planned(
        {}, platform=Platform.VERTEX, host=ANYWHERE, control_host=ANYWHERE, authentication=False
    )
    with pytest.raises(UsageError, match="authentication is off"):
        supervise(plan, announce=lambda _: None)
