"""``tag``: the history of versions and endpoints as git tags in GTO's form, written and read."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from shipway.bootstrap.project import Project
from shipway.errors import EnvironmentFailure, UsageError
from shipway.registry.gto import TagEvent, assignment, read_tags, registration, write_tags


class Tagged(msgspec.Struct, frozen=True, kw_only=True):
    """``written`` are the new tags; ``without_commit`` versions have no commit to be tagged."""

    written: tuple[str, ...]
    without_commit: tuple[str, ...]
    dry_run: bool = False


class TagHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What the tags of the repository say of the project's model, the newest first."""

    model: str
    events: tuple[TagEvent, ...]


def tag(project: Project, *, dry_run: bool = False) -> Tagged:
    """Write the tags that the repository lacks of all that the registry knows of the model.

    ``name@vN`` is on the commit that version N was made from, ``name#endpoint#k`` on that of the
    version which change k made live. Nothing is pushed.
    """
    registry = project.registry
    versions = {version.number: version for version in registry.versions(project.model)}
    tags = [registration(version) for version in versions.values()]
    for state in registry.endpoints():
        if state.model == project.model:
            tags += (
                assignment(change, versions[change.live])
                for change in registry.history(state.endpoint)
                if change.live in versions
            )
    known = [one for one in tags if one is not None]
    without = tuple(each.ref for each in versions.values() if registration(each) is None)
    if dry_run:
        there = {event.ref for event in read_tags(project.folder, project.environ)}
        names = tuple(one.name for one in known if one.name not in there)
        return Tagged(written=names, without_commit=without, dry_run=True)
    written = write_tags(project.folder, known, project.environ) if known else ()
    return Tagged(written=written, without_commit=without)


def tagged(project: Project) -> TagHistory:
    """What the repository's tags say of the project's model, whoever wrote them."""
    events = read_tags(project.folder, project.environ)
    own = tuple(event for event in events if event.artifact == project.model)
    return TagHistory(model=project.model, events=own)


def tag_when_asked(project: Project) -> None:
    """Write the tags if ``store.git_tags`` says so.

    What was published or promoted stands without them: where git cannot write them nothing
    fails, and ``shipway versions tag`` tells why and makes up for it.
    """
    if project.settings.store.git_tags:
        with suppress(EnvironmentFailure, UsageError):
            tag(project)
