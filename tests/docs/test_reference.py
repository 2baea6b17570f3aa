"""The reference follows from the code, and no link of the documentation leads nowhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import create_autospec

import pytest
from tests.docs.test_pages import PAGES, ROOT

from shipway import errors
from shipway.cli.index import COMMANDS
from shipway.config.schema import entries
from shipway.serving.control_routes import ControlServices, make_application
from shipway.serving.metrics import FAMILIES

_LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """``docs/generate.py``, which is a script and no part of a package."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_pages_are_fresh(generate: ModuleType) -> None:
    """What the code declares is what the reference says."""
    assert generate.main(["--check"]) == 0


def test_a_stale_page_is_named(
    generate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page that no longer follows from the code ends the check with 1, and its name is told."""
    assert generate.main(["--folder", str(tmp_path)]) == 0
    (tmp_path / "metrics.md").write_text("of old", encoding="utf-8")
    assert generate.main(["--folder", str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().err == (
        "metrics.md is stale: run `python docs/generate.py` and commit it\n"
    )


def test_a_terminal_does_not_change_the_pages(generate: ModuleType, tmp_path: Path) -> None:
    """The width and the colours of a terminal leave no trace in the reference."""
    script = [sys.executable, str(ROOT / "docs" / "generate.py"), "--folder", str(tmp_path)]
    environ = {"COLUMNS": "37", "FORCE_COLOR": "1", "TERM": "xterm-256color", "PATH": ""}
    subprocess.run(script, env=environ, check=True)
    for name, page in generate.PAGES.items():
        assert (tmp_path / name).read_text(encoding="utf-8") == page()


def test_every_command_setting_and_error_has_its_place(generate: ModuleType) -> None:
    """Nothing that a person can meet is missing from the reference."""
    commands, settings = generate.commands(), generate.settings()
    assert all(f"### shipway {command.name}\n" in commands for command in COMMANDS)
    assert all(f"`{entry.key}`" in settings for entry in entries())
    codes = {
        kind.code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ShipwayError)
    }
    assert all(f"`{code}`" in generate.error_codes() for code in codes)


def test_every_route_and_metric_of_the_server_is_told() -> None:
    """The page on HTTP leaves out no route of the control plane and no metric."""
    page = (ROOT / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
    with_types = make_application(create_autospec(ControlServices), Path()).routes
    paths = {re.sub(r":str\}", "}", route.path) for route in with_types}
    told = {path for path in paths if not path.startswith("/schema")}
    assert not [path for path in told if f"{path}`" not in page]
    assert not [name for name in FAMILIES if f"`{name}`" not in page]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    """A link within the documentation has a page, and its heading, at the other end."""
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    broken = [
        target
        for target in (match["target"] for match in _LINK.finditer(text))
        if not target.startswith(("https://", "mailto:")) and not _leads(page, target)
    ]
    assert not broken


def _leads(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    other = (page.parent / path).resolve() if path else page
    if not other.exists():
        return False
    return not anchor or anchor in _anchors(other)


def _anchors(page: Path) -> set[str]:
    """The anchors of the headings of *page*, as Markdown makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings)
    return {re.sub(r"[\s]+", "-", heading) for heading in plain}
