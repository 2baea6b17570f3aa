"""What is secret among the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.config.load import parse_settings
from shipway.config.secrets import command_without_secrets
from shipway.config.write import settings_without_secrets

SECRET = "https://chat.example/T0/B1/hush"
TEXT = f"""# Ours
[model]
name = "m"
task = "regression"  # minutes
target = "delay"

[[objectives]]
metric = "mae"
at_most = 1

[alerts]
webhook = "{SECRET}"

[monitor]
window = "day"
"""


def test_origins_tell_whose_and_no_more() -> None:
    """`check` shows where alerts go without what would let others send some; senders have it."""
    loaded = parse_settings(TEXT, path=Path("shipway.toml"), environ={}, flags={})
    assert loaded.settings.alerts.webhook == SECRET
    (told,) = [one for one in loaded.origins if one.name == "alerts.webhook"]
    assert told.value == "https://chat.example/***"


def test_a_version_keeps_everything_else() -> None:
    """The settings that go into a version say the same, comments too, but for the secret."""
    kept = settings_without_secrets(TEXT)
    assert "hush" not in kept
    assert "# minutes" in kept
    loaded = parse_settings(kept, path=Path("shipway.toml"), environ={}, flags={})
    assert loaded.settings.alerts.webhook is None
    assert loaded.settings.monitor.window == "day"
    plain = TEXT.replace(f'webhook = "{SECRET}"\n', "")
    assert settings_without_secrets(plain) == plain


@pytest.mark.parametrize(
    "words",
    [["--set", f"alerts.webhook={SECRET}"], [f"--set=alerts.webhook={SECRET}"]],
)
def test_a_lineage_has_no_secret(words: list[str]) -> None:
    """The command that a version was made by is kept without the secrets that it was given."""
    told = command_without_secrets(["shipway", "pack", "--set=a=b", "x=y", *words])
    assert "hush" not in " ".join(told)
    assert told[:4] == ("shipway", "pack", "--set=a=b", "x=y")
