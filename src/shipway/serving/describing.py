"""The routes that describe: the models that KServe v1 lists, and the OpenAPI document of it all.

The document is made when it is asked for the first time after a change, not at every start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from shipway.serving.http.exchange import Exchange
from shipway.serving.http.limits import Limits
from shipway.serving.openapi import document
from shipway.serving.protocols.oip import encode
from shipway.serving.routes import DESCRIBE, GET, Route, Table, fixed
from shipway.serving.routing import Served


class Describing:
    """Makes the describing routes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def of_server(self, served: Mapping[str, Served], *, authentication: bool) -> Table:
        """Routes that name no model."""
        made: list[bytes] = []
        describe = partial(document, served, self._limits, authentication=authentication)
        return {
            b"/v1/models": fixed(encode({"models": list(served)})),
            b"/openapi.json": Route(GET, DESCRIBE, partial(_openapi, describe, made)),
        }


def _openapi(
    describe: Callable[[], dict[str, Any]],
    made: list[bytes],
    exchange: Exchange,
    _: bytes | bytearray,
) -> None:
    if not made:
        made.append(encode(describe()))
    exchange.answer_json(made[0])
