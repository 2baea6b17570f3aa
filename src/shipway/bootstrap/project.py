"""A project: one folder with its settings, its contract and its store, opened for use."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from shipway.bootstrap.trusting import signer_for, trust_policy
from shipway.config.load import Loaded, load_settings, load_store
from shipway.config.settings import Settings, StoreSettings
from shipway.contract import odcs
from shipway.contract.schema import Contract
from shipway.domain.times import Clock, system_clock
from shipway.errors import ContractError, DataError, UnreadableTable
from shipway.registry.addresses import Addresses
from shipway.registry.opening import open_registry
from shipway.registry.registry import Registry
from shipway.security.acting import system_user
from shipway.security.personal import PersonalKeys
from shipway.security.sealing import Encryption, Keyring
from shipway.security.signatures import Signer
from shipway.security.trust import TrustPolicy

if TYPE_CHECKING:
    from shipway.contract.compiled import CompiledContract

CONTRACT_FILE = "contract.yaml"


@dataclass(frozen=True)
class Project:
    """Everything that the verbs of the api need; a context manager that closes its store.

    ``who`` is recorded with every change; it is the operating system's user, or
    ``SHIPWAY_USER`` where that is set and ``model.two_person`` is not.
    """

    folder: Path
    loaded: Loaded
    who: str
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    clock: Clock = system_clock
    flags: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def settings(self) -> Settings:
        """The settings, checked."""
        return self.loaded.settings

    @property
    def model(self) -> str:
        """The name of the model, which is also the name of its endpoint."""
        return self.settings.model.name

    @property
    def home(self) -> Path:
        """The folder of the store."""
        return self.folder / self.settings.store.home

    @property
    def addresses(self) -> Addresses:
        """Where the parts of the store are that are not in its folder."""
        return _addresses(self.settings.store)

    @property
    def contract_path(self) -> Path:
        """Where the contract is kept."""
        return self.folder / CONTRACT_FILE

    @cached_property
    def registry(self) -> Registry:
        """The registry in the store, opened at first use."""
        return open_registry(self.home, self.addresses, trust=self.trust, keyring=self.keyring)

    @cached_property
    def trust(self) -> TrustPolicy:
        """By whom a version must be signed, so that it is loaded."""
        return trust_policy(self.settings.trust, self.folder)

    @property
    def encryption(self) -> Encryption:
        """For whom versions are encrypted, and where the keys are that open them."""
        said = self.settings.encryption
        return Encryption(
            recipients=said.recipients,
            identities=said.identities,
            folder=str(self.folder.absolute()),
            opened_in=str((self.folder / said.opened_in).absolute()) if said.opened_in else "",
        )

    @property
    def keyring(self) -> Keyring:
        """What encrypts versions, and opens them."""
        return self.encryption.keyring(self.environ)

    @property
    def personal(self) -> PersonalKeys:
        """What personal columns are hashed and encrypted with."""
        return PersonalKeys(self.home, self.keyring)

    def signer(self) -> Signer:
        """The one who signs what is published here; the store's own key is made at first use."""
        return signer_for(
            self.settings.sign, home=self.home, folder=self.folder, environ=self.environ
        )

    @cached_property
    def contract(self) -> Contract:
        """The contract of the project.

        Raises :class:`~shipway.errors.DataError` if there is none yet.
        """
        try:
            text = self.contract_path.read_text(encoding="utf-8")
        except FileNotFoundError as missing:
            raise DataError(
                f"there is no contract at {self.contract_path}",
                next_step="run `shipway contract infer` to make one from the training table",
            ) from missing
        except UnicodeDecodeError as error:
            raise ContractError(
                f"{self.contract_path} is not text in UTF-8",
                next_step="save it in UTF-8, or infer it anew: `shipway contract infer --force`",
            ) from error
        except OSError as error:
            raise DataError(
                f"{self.contract_path} cannot be read: {error.strerror}",
                next_step="check that it is a file, and its permissions",
            ) from error
        return odcs.load(text, source=CONTRACT_FILE)

    @cached_property
    def compiled(self) -> CompiledContract:
        """The contract as a checker. Only those who check need the library of data frames."""
        from shipway.contract.compiled import CompiledContract  # noqa: PLC0415

        return CompiledContract(self.contract)

    def forget_contract(self) -> None:
        """Read the contract anew at its next use, because its file was written."""
        self.__dict__.pop("contract", None)
        self.__dict__.pop("compiled", None)

    def read_again(self) -> Project:
        """The same project by its settings as they are now; flags and environment as before.

        Raises :class:`~shipway.errors.ConfigError` with every problem of the settings.
        """
        return replace(
            self, loaded=load_settings(self.folder, environ=self.environ, flags=self.flags)
        )

    def table_path(self, given: Path | None, setting: str) -> Path:
        """The table to use: *given*, or the one that ``data.train`` or ``data.test`` names.

        Raises :class:`~shipway.errors.UnreadableTable` when neither is there.
        """
        if given is not None:
            return given
        named = getattr(self.settings.data, setting)
        if named is None:
            raise UnreadableTable(
                f"no table is given and data.{setting} is not set in {self.loaded.path.name}",
                next_step=f"pass a table, or set {setting} under [data]",
            )
        return self.folder / str(named)

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store if it was opened."""
        opened = self.__dict__.pop("registry", None)
        if opened is not None:
            opened.close()


def store_addresses(
    folder: Path, *, flags: Mapping[str, str], environ: Mapping[str, str] | None = None
) -> Addresses:
    """Where the parts of the store are that are not in its folder; *folder* may be no project."""
    environ = os.environ if environ is None else environ
    return _addresses(load_store(folder, environ=environ, flags=flags))


def open_project(
    folder: Path,
    *,
    flags: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Project:
    """Open the project in *folder*; its settings are read and checked, its store is not touched.

    Raises :class:`~shipway.errors.ConfigError` with every problem of the settings.
    """
    environ = os.environ if environ is None else environ
    flags = flags or {}
    loaded = load_settings(folder, environ=environ, flags=flags)
    # Where it takes two, a variable that anybody may set does not say who one is.
    who = system_user() if loaded.settings.model.two_person else _who(environ)
    return Project(folder=folder, loaded=loaded, who=who, environ=environ, flags=flags)


def _addresses(store: StoreSettings) -> Addresses:
    return Addresses(records=store.url, blobs=store.blobs)


def _who(environ: Mapping[str, str]) -> str:
    named = environ.get("SHIPWAY_USER")
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
