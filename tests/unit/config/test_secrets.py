"""What is secret among the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipway.config.addresses import password_of
from shipway.config.load import parse_settings
from shipway.config.secrets import command_without_secrets
from shipway.config.write import settings_without_secrets
from shipway.errors import ConfigError

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


ADDRESS = "postgresql://anna:hush%40@db.example:5433/shipway?sslmode=require"


def test_an_address_is_shown_without_its_password() -> None:
    """`check` shows which database is used and as whom, never the password; the store has it."""
    variables = {"SHIPWAY_STORE__URL": ADDRESS}
    loaded = parse_settings(TEXT, path=Path("shipway.toml"), environ=variables, flags={})
    assert loaded.settings.store.url == ADDRESS
    assert password_of(ADDRESS) == "hush@"
    (told,) = [one for one in loaded.origins if one.name == "store.url"]
    assert told.value == "postgresql://anna@db.example:5433/shipway?sslmode=require"


@pytest.mark.parametrize(
    ("text", "flags", "variables"),
    [
        (f'[store]\nurl = "{ADDRESS}"\n', {}, {}),
        ("", {"store.url": ADDRESS}, {}),
        ("", {}, {"SHIPWAY_STORE__URL": "postgresql://anna@db.example/x?password=hush"}),
        ("", {}, {"SHIPWAY_STORE__URL": "postgresql://anna:hush/or@db.example/x"}),
        ("", {}, {"SHIPWAY_STORE__URL": "mysql://anna:hush@db.example/x"}),
    ],
)
def test_a_password_is_for_the_environment(
    text: str, flags: dict[str, str], variables: dict[str, str]
) -> None:
    """Where others would see a password it is refused, as is what is no address; nobody sees it."""
    with pytest.raises(ConfigError) as caught:
        parse_settings(TEXT + text, path=Path("shipway.toml"), environ=variables, flags=flags)
    assert len(caught.value.problems) == 1
    assert "hush" not in str(caught.value)


def test_an_empty_address_is_the_folder() -> None:
    """An image whose settings name a database is told by an empty variable to use its own."""
    text = TEXT + '[store]\nurl = "postgresql://db.example/x"\nblobs = "s3://bucket/x"\n'
    variables = {"SHIPWAY_STORE__URL": "", "SHIPWAY_STORE__BLOBS": ""}
    loaded = parse_settings(text, path=Path("shipway.toml"), environ=variables, flags={})
    assert (loaded.settings.store.url, loaded.settings.store.blobs) == ("", "")
