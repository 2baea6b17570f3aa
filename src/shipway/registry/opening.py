"""Opens the store of a folder, makes it if there is none, and brings it up to this release."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from shipway.durable import private_folder, storing
from shipway.errors import NotFoundError
from shipway.registry.addresses import IN_FOLDER, Addresses
from shipway.registry.current import METADATA_FILE, database_of, registry_on
from shipway.registry.registry import Registry
from shipway.registry.sql.migrate import migrate
from shipway.security.sealing import NO_KEYRING, Keyring
from shipway.security.trust import TrustPolicy


def open_registry(
    home: Path,
    addresses: Addresses = IN_FOLDER,
    *,
    create: bool = True,
    audited: bool = True,
    trust: TrustPolicy | None = None,
    keyring: Keyring = NO_KEYRING,
) -> Registry:
    """The registry in the store folder *home*; close it after use, it is a context manager.

    *addresses* say which parts of it are elsewhere. Without *create*, a folder that holds no
    store is a NotFoundError and stays as it is. Without *audited* no audit log is kept, as of a
    store that is made to be given away. *trust* says who must have signed what is opened;
    *keyring* seals what is published, and opens what is sealed.

    Raises :class:`~shipway.errors.StoreError` if the store cannot be opened or is of a newer
    release, :class:`~shipway.errors.StoreUnavailable` if a database elsewhere does not answer now.
    """
    home = home.absolute()
    database_file = home / METADATA_FILE
    if not create and not addresses.records and not database_file.exists():
        raise NotFoundError(
            f"there is no Shipway store in {home}",
            next_step="run this in the folder of the model, set SHIPWAY_HOME, "
            "or begin one with `shipway init`",
        )
    with storing(home):
        private_folder(home)
    with ExitStack() as opened:
        database = database_of(home, addresses)
        opened.callback(database.close)
        migrate(database, where=addresses.told.records or str(database_file))
        registry = registry_on(
            database, home, addresses, audited=audited, trust=trust, keyring=keyring
        )
        if not addresses.blobs:
            registry.refresh_index()
        opened.pop_all()
    return registry
