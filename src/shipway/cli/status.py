"""``shipway status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipway.cli.options import NO_OPTIONS, Options
from shipway.cli.output import Output, Result

if TYPE_CHECKING:
    from shipway.api.status import Status


def status(*, options: Options = NO_OPTIONS) -> Result:
    """Show what is live, and which processes answer."""
    from shipway.api.status import status as look

    with options.open() as project:
        found = look(project)
    return Result(
        document=found, show=lambda output: _show(found, output), next_step=_next_step(found)
    )


def _next_step(found: Status) -> str:
    if not found.versions:
        return "shipway pack MODEL"
    if found.live is None:
        return "shipway gate"
    return "shipway monitor" if found.server else "shipway serve"


def _show(found: Status, output: Output) -> None:
    live = "nothing is live" if found.live is None else f"version {found.live} is live"
    output.line(f"{found.model}: {found.versions} versions, {live}")
    if found.server is None:
        output.line("No server runs on this store.")
        return
    output.line(f"Predictions: {found.server.url}")
    output.line(f"Labels, metrics and administration: {found.server.control_url}")
    for worker in found.workers:
        if worker.lost.events:
            now = f" ({worker.lost.error})" if worker.lost.error else ", none since"
            output.warn(
                f"{worker.name} answered {worker.lost.events} requests that it could not"
                f" remember{now}; monitoring misses them"
            )
    output.table(
        ["Worker", "Process", "Endpoint", "Version", "Error"],
        [
            (worker.name, worker.pid, name, route.live, route.error or worker.error)
            for worker in found.workers
            for name, route in worker.endpoints.items()
        ],
    )
