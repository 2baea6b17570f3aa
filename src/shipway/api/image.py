"""``image``: everything a container needs to serve one version, in one folder."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import msgspec

from shipway.api.score import version_or_live
from shipway.bootstrap.predictors import SETTINGS_IN_VERSION
from shipway.bootstrap.project import Project
from shipway.config.write import settings_for_server
from shipway.packaging.image import build, build_context
from shipway.registry.export import export_version

AUTHORITIES = "authorities.pem"
"""The certificates of trust.authorities, in an image."""

TOOLS = ("docker", "podman", "buildah")
"""What can build an image, the best known first."""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A build context; ``tag`` is of the image, if one was built from it."""

    context: str
    version: str
    base: str
    packages: int
    size_bytes: int
    tag: str | None
    tool: str


def image(
    project: Project,
    out: Path,
    *,
    version: str | None = None,
    base: str | None = None,
    wheelhouse: Path | None = None,
    tag: str | None = None,
    tool: str | None = None,
    force: bool = False,
) -> Image:
    """Make the build context of the live version (or *version*) in *out*; build it given a *tag*.

    The image installs without a network from hash-locked wheels, runs as user 10001 and drains
    on SIGTERM. Its store holds the one version, already live. *tool* is the first of docker,
    podman and buildah on the PATH by default.
    """
    chosen = version_or_live(project, version)
    files = project.registry.open_files(chosen)

    def export_home(home: Path) -> None:
        export_version(project.registry, chosen, home, by=project.who, now=project.clock())

    signed = bool(project.registry.signing.records(chosen))
    settings = files[SETTINGS_IN_VERSION].read_text(encoding="utf-8-sig")
    auth = tomllib.loads(settings).get("auth", {})
    extras = [*(["jwt"] if "issuer" in auth else ()), *(["sign"] if signed else ())]
    made = build_context(
        out,
        version=chosen,
        app=_app(project, settings),
        export_home=export_home,
        extras=extras,
        base=base,
        wheelhouse=wheelhouse,
        force=force,
    )
    tool = tool or next(filter(shutil.which, TOOLS), TOOLS[0])
    if tag is not None:
        build(made.folder, tool=tool, tag=tag)
    return Image(
        context=str(made.folder),
        version=chosen.ref,
        base=made.base,
        packages=len(made.packages),
        size_bytes=made.size_bytes,
        tag=tag,
        tool=tool,
    )


def _app(project: Project, settings: str) -> dict[str, bytes]:
    """The files that the server works with: the *settings* of the version, but believing whom the
    project believes today; whom to believe is not for a version to say.
    """
    trust = project.settings.trust
    files = {}
    if trust.authorities is not None:
        files[AUTHORITIES] = project.trust.authorities.encode()
        trust = msgspec.structs.replace(trust, authorities=AUTHORITIES)
    return {SETTINGS_IN_VERSION: settings_for_server(settings, trust).encode(), **files}
