"""Opens the store of a folder, makes it if there is none, and brings it up to this release."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from shipway.durable import private_folder, storing
from shipway.errors import NotFoundError
from shipway.registry.current import METADATA_FILE, registry_on
from shipway.registry.registry import Registry
from shipway.registry.sql.migrate import migrate
from shipway.registry.sql.sqlite import SqliteDatabase
from shipway.security.trust import TrustPolicy


def open_registry(home: Path, *, create: bool = True, trust: TrustPolicy | None = None) -> Registry:
    """The registry in the store folder *home*; close it after use, it is a context manager.

    Without *create*, a folder that holds no store is a NotFoundError and stays as it is. *trust*
    says who must have signed what is opened. Raises
    :class:`~shipway.errors.StoreError` if the store cannot be opened or is of a newer release.
    """
    home = home.absolute()
    database_file = home / METADATA_FILE
    if not create and not database_file.exists():
        raise NotFoundError(
            f"there is no Shipway store in {home}",
            next_step="run this in the folder of the model, set SHIPWAY_HOME, "
            "or begin one with `shipway init`",
        )
    with storing(home):
        private_folder(home)
    with ExitStack() as opened:
        database = SqliteDatabase(database_file)
        opened.callback(database.close)
        migrate(database, where=str(database_file))
        registry = registry_on(database, home, trust)
        registry.refresh_index()
        opened.pop_all()
    return registry
