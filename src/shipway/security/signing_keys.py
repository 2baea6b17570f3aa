"""Where signing keys lie: in a file, in a variable, or with a program that does not give them away.

A key is named by an address, ``<kind>:<where>``. What opens a kind is found by its entry point, so
that a hardware module or a key service is a package of its own; the three kinds here come in by
the same door. A kind needs one function, ``opener``.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import cast

from shipway.durable import locked, private_folder, storing, write_new
from shipway.errors import EnvironmentFailure, SignatureMalformed, ToolMissing, UsageError
from shipway.security.chains import chain_of
from shipway.security.curves import PublicKey, new_key_pem, read_private_key, read_public_key
from shipway.security.signatures import Signer, SigningKey

ENTRY_POINTS = "shipway.signing_keys"
LOCAL_KEY = Path("signing", "key.pem")
"""Where a store's own key lies, below its folder. It goes into no image and no export."""

_LARGEST_ANSWER = 1 << 16
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an address is read in: the folder that files are sought from, and the variables."""

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)


Opener = Callable[[str, Surroundings], SigningKey]
"""Opens the key at what follows the colon of an address."""


def open_signer(
    home: Path, key: str | None, certificate: str | None, surroundings: Surroundings
) -> Signer:
    """The one who signs for the store *home*: by the address *key*, else by the store's own key.

    Raises :class:`~shipway.errors.UsageError` for what is no key, and
    :class:`~shipway.errors.MissingPackage` without the extra sign.
    """
    opened = local_key(home) if key is None else open_key(key, surroundings)
    if certificate is None:
        return Signer(opened)
    path = surroundings.folder / certificate
    return Signer(opened, chain_of(_contents(path), where=f"sign.certificate = {str(path)!r}"))


def open_key(address: str, surroundings: Surroundings) -> SigningKey:
    """The key at *address*; raises UsageError for a kind that nothing installed opens."""
    kind, _, where = address.partition(":")
    found = metadata.entry_points(group=ENTRY_POINTS, name=kind)
    if not found:
        known = sorted(one.name for one in metadata.entry_points(group=ENTRY_POINTS))
        raise UsageError(
            f"nothing that is installed opens a key of the kind {kind!r}"
            f" (there are {', '.join(known) or 'none'})",
            next_step=f"install the package with the entry point {ENTRY_POINTS}:{kind}, or let a"
            " program sign: sign.key = command:PROGRAM",
        )
    (entry_point,) = list(found)[:1]
    return cast("Opener", entry_point.load())(where, surroundings)


def local_key(home: Path) -> SigningKey:
    """The key of the store *home*, made when it is first asked for, for this user's eyes only."""
    path = home / LOCAL_KEY
    if not path.exists():
        with storing(path):
            private_folder(path.parent)
            with locked(path.with_suffix(".lock")):
                if not path.exists():
                    staged = path.with_suffix(".new")
                    staged.unlink(missing_ok=True)
                    write_new(staged, new_key_pem())
                    staged.rename(path)
    return read_private_key(_contents(path), where=str(path))


def file_key(where: str, surroundings: Surroundings) -> SigningKey:
    """The key in the file *where*: PEM, without a passphrase."""
    path = surroundings.folder / where
    return read_private_key(_contents(path), where=f"file:{path}")


def env_key(where: str, surroundings: Surroundings) -> SigningKey:
    """The key in the variable *where*: PEM, without a passphrase."""
    pem = surroundings.environ.get(where)
    if not pem:
        raise UsageError(
            f"the variable {where} that sign.key names is not set",
            next_step=f"set {where} to the key in PEM, or name another key",
        )
    return read_private_key(pem.encode(), where=f"env:{where}")


def command_key(where: str, surroundings: Surroundings) -> SigningKey:
    """The key that the program *where* signs with: see :class:`CommandKey`."""
    try:
        words = shlex.split(where)
    except ValueError as error:
        raise UsageError(
            f"sign.key = {where!r} is no command: {error}", next_step="quote it as for a shell"
        ) from error
    return CommandKey(tuple(words), surroundings)


@dataclass(frozen=True, slots=True)
class CommandKey:
    """A key behind a program, as those of hardware modules and key services are.

    ``PROGRAM public`` prints the public key in PEM. ``PROGRAM sign`` reads a message and prints
    the ECDSA signature over it in DER, by the hash of the key's curve (SHA-256 for P-256).
    """

    command: tuple[str, ...]
    surroundings: Surroundings = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """See the port."""
        answer = self._ask("public", b"")
        try:
            return read_public_key(answer.decode(errors="replace"))
        except SignatureMalformed as error:
            raise self._failed(f"what it printed as its public key is none: {error.message}") from (
                error
            )

    def sign(self, message: bytes) -> bytes:
        """See the port."""
        return self._ask("sign", message)

    def _ask(self, verb: str, message: bytes) -> bytes:
        command = [*self.command, verb]
        try:
            done = subprocess.run(
                command,
                input=message,
                capture_output=True,
                check=False,
                cwd=self.surroundings.folder,
                env=dict(self.surroundings.environ) or None,
                timeout=_TIMEOUT_S,
            )
        except FileNotFoundError as missing:
            raise ToolMissing(
                f"the program {command[0]!r} that signs is not there",
                next_step="install it, or name another key as sign.key",
            ) from missing
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failed(str(error)) from error
        if done.returncode != 0 or not 0 < len(done.stdout) <= _LARGEST_ANSWER:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise self._failed(said[-1][:300] if said else f"exit code {done.returncode}")
        return done.stdout

    def _failed(self, why: str) -> EnvironmentFailure:
        return EnvironmentFailure(
            f"the program that signs, {shlex.join(self.command)}, failed: {why}",
            next_step=f"try `{shlex.join(self.command)} public` by hand",
        )


def kept_from_children(key: str | None) -> Sequence[str]:
    """The variables that hold the key of the address *key*: no server needs it to verify."""
    kind, _, where = (key or "").partition(":")
    return (where,) if kind == "env" else ()


def _contents(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(_LARGEST_ANSWER)
    except OSError as error:
        raise UsageError(
            f"{str(path)!r} cannot be read: {error.strerror}",
            next_step="check the path and its permissions",
        ) from error
