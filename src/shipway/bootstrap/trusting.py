"""From the settings of ``[sign]`` and ``[trust]`` to who signs here, and who is believed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shipway.config.trust import SignSettings, TrustSettings
from shipway.errors import ConfigError
from shipway.security.chains import read_authorities
from shipway.security.curves import require_cryptography
from shipway.security.signatures import Signer
from shipway.security.signing_keys import Surroundings, kept_from_children, open_signer
from shipway.security.trust import TrustMode, TrustPolicy

_MOST_AUTHORITIES_BYTES = 64 << 10


def trust_policy(trust: TrustSettings, folder: Path) -> TrustPolicy:
    """The policy that *trust* says; files are sought from *folder*.

    Where identities are named they are required, unless the settings say otherwise. Raises
    :class:`~shipway.errors.ConfigError` for authorities that cannot be read, and
    :class:`~shipway.errors.MissingPackage` where identities are named without what verifies them.
    """
    if trust.mode is not None:
        mode = TrustMode(trust.mode.value)
    else:
        mode = TrustMode.REQUIRE if trust.identities else TrustMode.PRESENT
    if trust.identities and mode is not TrustMode.OFF:
        require_cryptography("verify who signed a version")
    parted = [line.partition("=") for line in trust.identities]
    return TrustPolicy(
        mode=mode,
        identities=tuple((pattern.strip(), who.strip()) for pattern, _, who in parted),
        revoked=frozenset(trust.revoked),
        authorities=_authorities(trust.authorities, folder),
        pickle=trust.pickle,
    )


def signer_for(
    sign: SignSettings, *, home: Path, folder: Path, environ: Mapping[str, str]
) -> Signer:
    """The one who signs for the store *home*, as *sign* says; see ``open_signer``."""
    return open_signer(home, sign.key, sign.certificate, Surroundings(folder, environ))


def without_signing_key(sign: SignSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """*environ* without the private key, which nobody needs who only verifies."""
    secret = kept_from_children(sign.key)
    return {name: value for name, value in environ.items() if name not in secret}


def _authorities(name: str | None, folder: Path) -> str:
    if name is None:
        return ""
    path = folder / name
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_AUTHORITIES_BYTES + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the file {str(path)!r} of trust.authorities cannot be read: {error}",
            next_step="name a file of certificates in PEM",
        ) from error
    if len(content) > _MOST_AUTHORITIES_BYTES:
        raise ConfigError(
            f"the file {str(path)!r} of trust.authorities is larger than"
            f" {_MOST_AUTHORITIES_BYTES:,} bytes",
            next_step="name the few authorities that may certify who signs your models, not all",
        )
    read_authorities(text)
    return text
