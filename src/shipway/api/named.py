"""Which version people mean when they name a model, a number or an endpoint."""

from __future__ import annotations

from shipway.bootstrap.project import Project
from shipway.domain.names import check_name
from shipway.errors import NotFoundError, UsageError
from shipway.registry.records import Version


def version_named(project: Project, text: str) -> Version:
    """The version that ``flight-delay@3``, ``flight-delay@latest``, ``3`` or an endpoint names.

    ``flight-delay@production`` is what the endpoint ``production`` answers with, and
    ``flight-delay`` what the one of its own name does. Raises
    :class:`~shipway.errors.NotFoundError` and :class:`~shipway.errors.UsageError`.
    """
    registry = project.registry
    model, at, which = text.partition("@")
    if not at and text in registry.models():
        which = model
    elif not at or which == "latest" or which.removeprefix("v").isdigit():
        return registry.resolve(text, project.model)
    state = registry.endpoint(check_name(which, what="endpoint name"))
    if state is None or state.live is None:
        raise NotFoundError(
            f"nothing is live on the endpoint {which!r}",
            next_step=f"name a version, as in {model}@latest or {model}@1, or promote one",
        )
    if state.model != model:
        raise UsageError(
            f"the endpoint {which!r} is of the model {state.model}, not of {model}",
            next_step=f"name {state.model}@{which}",
        )
    return registry.version(state.model, state.live)
