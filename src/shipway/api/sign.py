"""``sign`` and ``verify``: who answers for a version, and whether they are believed here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from shipway.bootstrap.project import Project
from shipway.domain.digests import canonical_json
from shipway.durable import SHARED, storing, write_new
from shipway.errors import ConflictError, UsageError
from shipway.registry.entries import MANIFEST_NAME
from shipway.registry.records import Version
from shipway.registry.trees import resources_of
from shipway.security.curves import can_sign
from shipway.security.matching import check_files
from shipway.security.signatures import Signed, read_signature
from shipway.security.signing_keys import LOCAL_KEY
from shipway.security.statements import LARGEST_BUNDLE_BYTES
from shipway.security.trust import check_identity

SIGNATURE_NAME = "model.sig"
"""What a signature is called beside its model, as other tools write it."""


class SignedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version and who signed it; ``identity`` is "" for a key that is made at its first use.

    ``files`` were written into ``folder``, for other tools to verify.
    """

    version: str
    identity: str
    public_key: str
    signed: bool
    folder: str = ""
    files: tuple[str, ...] = ()


class SignatureLine(msgspec.Struct, frozen=True, kw_only=True):
    """One signature: by whom, when it was stored, and whether the policy names them."""

    identity: str
    created_at: str
    named: bool


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was verified, byte by byte: ``identity`` signed it, "" if nobody needed to."""

    subject: str
    mode: str
    identity: str
    named: bool
    files: int
    signatures: tuple[SignatureLine, ...] = ()


def sign(project: Project, version: str | None = None, *, dry_run: bool = False) -> SignedVersion:
    """Sign *version* (the newest by default) by ``sign.key``; its bytes are verified first.

    Signing again by the same key changes nothing. Raises
    :class:`~shipway.errors.MissingPackage` without the extra sign.
    """
    chosen = project.registry.resolve(version or "latest", project.model)
    if dry_run:
        at_first_use = project.settings.sign.key is None and not (project.home / LOCAL_KEY).exists()
        signer = None if at_first_use else project.signer()
        return SignedVersion(
            version=chosen.ref,
            identity=signer.identity if signer else "",
            public_key=signer.key.public.pem if signer else "",
            signed=False,
        )
    project.registry.verified_files(chosen)
    signer = project.signer()
    made = project.registry.signing.sign(chosen, signer, by=project.who, now=project.clock())
    return SignedVersion(
        version=chosen.ref, identity=made.identity, public_key=made.public_key, signed=True
    )


def sign_published(project: Project, version: Version) -> str:
    """Sign *version*, which was just published; who did, "" where nothing can sign.

    Without the extra sign a version stays unsigned, unless ``sign.key`` says that it must be.
    """
    if project.settings.sign.key is None and not can_sign():
        return ""
    made = project.registry.signing.sign(
        version, project.signer(), by=project.who, now=project.clock()
    )
    return made.identity


def write_signed(project: Project, version: str | None, folder: Path) -> SignedVersion:
    """Sign *version* and write it into *folder*, with the signature as ``model.sig``.

    Any tool for OpenSSF Model Signing can verify the folder. Raises
    :class:`~shipway.errors.ConflictError` for a folder with something in it.
    """
    done = sign(project, version)
    chosen = project.registry.resolve(done.version)
    records = project.registry.signing.records(chosen)
    record = next(one for one in records if one.identity == done.identity)
    contents = {
        path: file.read_bytes() for path, file in project.registry.verified_files(chosen).items()
    }
    contents[MANIFEST_NAME] = canonical_json(chosen.manifest)
    contents[SIGNATURE_NAME] = project.registry.signing.stored(record).bundle
    if folder.exists() and any(folder.iterdir()):
        raise ConflictError(
            f"there is something in {str(folder)!r} already", next_step="name another folder"
        )
    with storing(folder):
        for path, content in contents.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            write_new(folder / path, content, mode=SHARED)
    return msgspec.structs.replace(done, folder=str(folder), files=tuple(sorted(contents)))


def verify(project: Project, version: str | None = None) -> Verified:
    """Verify *version* (the newest by default) as a worker would before it loads it.

    Raises :class:`~shipway.errors.NotBelieved` with its own code for each way of not being what
    somebody whom the policy names has signed.
    """
    registry = project.registry
    chosen = registry.resolve(version or "latest", project.model)
    believed = registry.signing.believe(chosen)
    files = registry.open_files(chosen)
    named = registry.signing.trust.named_for(chosen.model)
    return Verified(
        subject=chosen.ref,
        mode=str(registry.signing.trust.mode),
        identity=believed.identity,
        named=believed.named,
        files=len(files),
        signatures=tuple(
            SignatureLine(
                identity=record.identity,
                created_at=record.created_at.isoformat(),
                named=record.identity in named,
            )
            for record in registry.signing.records(chosen)
        ),
    )


def verify_folder(
    folder: Path,
    *,
    project: Project | None,
    signature: Path | None = None,
    public_key: Path | None = None,
    ignore: Sequence[str] = (),
) -> Verified:
    """Verify a model outside of the store, by its OpenSSF signature, every byte of it.

    Believed is the holder of *public_key*, or whom the policy of *project* names for its model.
    What is in *ignore* (by its path in the folder) is left out; what the signer ignores is not.
    Raises :class:`~shipway.errors.NotBelieved`.
    """
    path = signature or folder / SIGNATURE_NAME
    pem = "" if public_key is None else _read(public_key, 1 << 16).decode(errors="replace")
    signed = read_signature(_read(path, LARGEST_BUNDLE_BYTES + 1), pem)
    found = tuple(
        resources_of(folder, signed.statement, besides=[path, *(folder / name for name in ignore)])
    )
    check_files(signed.statement, found, what=str(folder))
    return Verified(
        subject=str(folder),
        mode="require",
        identity=_believed(signed, project, folder, by_key=public_key is not None),
        named=True,
        files=len(signed.statement.names),
    )


def _believed(signed: Signed, project: Project | None, folder: Path, *, by_key: bool) -> str:
    if not by_key:
        if project is None:
            raise UsageError(
                f"nobody is named whose signature of {str(folder)!r} is believed",
                next_step="give their key: --public-key FILE",
            )
        check_identity(project.trust, project.model, signed, what=str(folder))
    return signed.identity


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise UsageError(
            f"{str(path)!r} cannot be read: {error.strerror}",
            next_step="check the path and its permissions",
        ) from error
