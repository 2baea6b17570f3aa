"""What a platform says of a container that it runs: the port, and the routes that it will ask.

SageMaker and Vertex authenticate who calls an endpoint, and pass on a request without a key. Saying
``serve.platform`` is saying so: predictions and metadata need no key then, on the address that
``serve.host`` gives. The control port asks for one all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from shipway.config.settings import Platform, ServeSettings
from shipway.errors import ConfigError
from shipway.serving.doors import Doors

_ROUTE = re.compile(r"/[A-Za-z0-9._~:@/+-]*")
_PORT = {Platform.SAGEMAKER: "SAGEMAKER_BIND_TO_PORT", Platform.VERTEX: "AIP_HTTP_PORT"}


def on_platform(serve: ServeSettings, environ: Mapping[str, str]) -> ServeSettings:
    """*serve* with the port that the platform chose in *environ*, if it runs on one."""
    if serve.platform is None:
        return serve
    name = _PORT[serve.platform]
    given = environ.get(name)
    if given is None:
        return serve
    if not given.isascii() or not given.isdigit() or not 0 < int(given[:6]) <= 65_535:
        raise ConfigError(
            f"{name} is {given[:32]!r}, which is no port",
            next_step="leave it to the platform, or unset serve.platform",
        )
    return msgspec.structs.replace(serve, port=int(given))


def doors(serve: ServeSettings, environ: Mapping[str, str]) -> Doors:
    """The routes that the platform will ask, beside those that are always there."""
    if serve.platform is not Platform.VERTEX:
        return Doors()
    return Doors(
        predict=_route(environ, "AIP_PREDICT_ROUTE", "/predict"),
        health=_route(environ, "AIP_HEALTH_ROUTE", "/health"),
    )


def _route(environ: Mapping[str, str], name: str, default: str) -> str:
    given = environ.get(name) or default
    if not _ROUTE.fullmatch(given):
        raise ConfigError(
            f"{name} is {given[:64]!r}, which is no path",
            next_step="leave it to the platform, or unset serve.platform",
        )
    return given
