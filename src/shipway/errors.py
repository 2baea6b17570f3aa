"""The one tree of errors: what happened, with which value, and what to do next.

    ShipwayError
    ├── UsageError            the request itself makes no sense            (exit 2, HTTP 400)
    │   ├── ConfigError           shipway.toml, a flag or a variable is wrong
    │   ├── NameNotAllowed        a name does not fit the naming rule
    │   ├── MalformedRequest      what was received cannot be read as a request
    │   └── UnsupportedMedia      its media type or encoding is not read   (HTTP 415)
    ├── DataError             the data given is not what was promised      (exit 2, HTTP 422)
    │   ├── UnreadableTable       a table is missing, empty or not a table
    │   ├── ContractError         contract.yaml is malformed
    │   ├── ContractViolated      rows or requests break the contract
    │   └── NotEnoughData         a question cannot be asked of so few rows
    ├── ModelError            the model cannot be taken in or run          (exit 2, HTTP 500)
    │   ├── ModelFileError        the file is missing, damaged or of an unknown format
    │   ├── PickleRefused         a pickle, and nobody said that it is trusted
    │   ├── CodeRefused           a model's own code, and nobody said that it is trusted
    │   ├── ModelMismatch         the model and the contract disagree
    │   ├── PredictionFailed      the model raised or answered nonsense
    │   └── TrialFailed           a version did not get through its trial
    ├── NotFoundError         no such version, endpoint, key, prediction   (exit 2, HTTP 404)
    ├── ConflictError         somebody else changed it first               (exit 2, HTTP 409)
    ├── GateRefused           a verdict forbids the step                   (exit 1, HTTP 409)
    ├── AccessError           who is asking                                (exit 2)
    │   ├── NotAuthenticated      no key, or not a good one                (HTTP 401)
    │   └── NotAuthorised         a good key without the right             (HTTP 403)
    ├── IntegrityError        stored bytes are not the bytes published     (exit 4, HTTP 500)
    │   ├── DigestMismatch
    │   ├── SealBroken            what is encrypted was altered, cut or moved
    │   └── NotBelieved           what is signed, or by whom, is not believed
    │       ├── SignatureMissing      nobody signed it
    │       ├── SignatureMalformed    what is there is no signature of a model
    │       ├── SignatureInvalid      it was not made by that key, or is of other files
    │       ├── FileUnlisted          a file that is not in the signature
    │       ├── FileMissing           a file of the signature that is not there
    │       ├── FileChanged           a file that differs from the signature
    │       ├── IdentityUnknown       signed by nobody whom the policy names
    │       └── IdentityRevoked       signed by somebody who is believed no more
    ├── LimitError            a request is larger or later than allowed
    │   ├── TooLarge              (HTTP 413)
    │   ├── Overloaded            (HTTP 503 with Retry-After)
    │   ├── RateLimited           (HTTP 429 with Retry-After)
    │   └── DeadlineExceeded      (HTTP 504)
    └── EnvironmentFailure    the machine cannot do it now                 (exit 4, HTTP 503)
        ├── MissingPackage        an extra is not installed
        ├── StoreError            the store is locked, full, newer, or not writable
        │   └── StoreUnavailable      its database or object storage does not answer now
        ├── KeyNotHeld            it is encrypted, and no key here opens it
        ├── PortInUse
        ├── ServerUnreachable
        ├── IssuerUnreachable     the keys that tokens are signed with are not here now
        └── ToolMissing           a program of the system is not there

An error here knows nothing of HTTP or of exit codes: ``serving`` and ``cli`` each own one
table from error class to status. Its ``code`` is stable and documented; its text may improve.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where it stands, and what would be right.

    ``where`` is a place a person can go to: ``shipway.toml:12``, ``row 7, column dest``.
    """

    code: str
    message: str
    where: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{self.message}{hint} [{self.code}]"


class ShipwayError(Exception):
    """Something went wrong that a person can do something about.

    ``message`` says what happened and with which value, ``next_step`` what to do about it;
    ``problems`` lists every single fault when there are several.
    """

    code: ClassVar[str] = "shipway.error"

    def __init__(
        self,
        message: str,
        *,
        next_step: str,
        problems: Iterable[Problem] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.problems = tuple(problems)

    def __str__(self) -> str:
        lines = [f"{type(self).__name__} [{self.code}] {self.message}"]
        lines += [f"  - {problem}" for problem in self.problems]
        lines.append(f"Next: {self.next_step}")
        return "\n".join(lines)


class UsageError(ShipwayError):
    """What was asked for contradicts itself or names something that does not exist."""

    code = "usage.invalid"


class ConfigError(UsageError):
    """A setting is unknown, of the wrong type, out of range, or missing."""

    code = "config.invalid"


class NameNotAllowed(UsageError):
    """A name is outside ``^[a-z0-9][a-z0-9._-]{0,127}$`` or reserved by a file system."""

    code = "name.not-allowed"


class MalformedRequest(UsageError):
    """The bytes received are no request: broken HTTP, broken JSON, tensors that contradict."""

    code = "request.malformed"


class UnsupportedMedia(UsageError):
    """The body is of a media type, a charset or a content encoding that is not read."""

    code = "request.unsupported-media"


class DataError(ShipwayError):
    """The data given is not what was promised."""

    code = "data.invalid"


class UnreadableTable(DataError):
    """A table of data is missing, empty, damaged, or of a format that is not read."""

    code = "data.unreadable"


class ContractError(DataError):
    """A data contract is malformed or contradicts itself."""

    code = "contract.invalid"


class ContractViolated(DataError):
    """Rows or a request do not keep the data contract."""

    code = "contract.violated"


class NotEnoughData(DataError):
    """There are too few rows, classes or blocks for the question to have an answer."""

    code = "data.not-enough"


class ModelError(ShipwayError):
    """A model cannot be taken in or cannot be run."""

    code = "model.error"


class ModelFileError(ModelError):
    """A model file is missing, damaged, or of a format that Shipway does not know."""

    code = "model.unreadable"


class PickleRefused(ModelError):
    """A pickle can run any code when it is opened, and nobody said that this one is trusted."""

    code = "model.pickle-refused"


class CodeRefused(ModelError):
    """Packing a model's own code runs it, and nobody said that this code is trusted."""

    code = "model.code-refused"


class ModelMismatch(ModelError):
    """The model's inputs or outputs are not what the contract and the objectives say."""

    code = "model.mismatch"


class PredictionFailed(ModelError):
    """The model raised an error, or answered with something that is not a prediction."""

    code = "model.prediction-failed"


class TrialFailed(ModelError):
    """A version crashed, hung or ended in its trial, or is far slower than the one that is live."""

    code = "model.trial-failed"


class NotFoundError(ShipwayError):
    """There is no such model, version, endpoint, key or prediction."""

    code = "registry.not-found"


class ConflictError(ShipwayError):
    """Somebody else changed the same thing first; nothing was written."""

    code = "registry.conflict"


class GateRefused(ShipwayError):
    """A verdict forbids the step."""

    code = "gate.refused"


class AccessError(ShipwayError):
    """The caller may not do this."""

    code = "access.denied"


class NotAuthenticated(AccessError):
    """There is no key, token or certificate with the request, or it is not a good one."""

    code = "access.not-authenticated"


class NotAuthorised(AccessError):
    """The caller is known but has not the right that the request needs."""

    code = "access.not-authorised"


class IntegrityError(ShipwayError):
    """Stored bytes are not the bytes that were published."""

    code = "registry.integrity"


class DigestMismatch(IntegrityError):
    """A file differs from the digest in its manifest; the version stays blocked."""

    code = "registry.digest-mismatch"


class SealBroken(IntegrityError):
    """What is encrypted was altered, cut short, or is not what it stands for."""

    code = "registry.seal-broken"


class NotBelieved(IntegrityError):
    """A version, or a folder, is not what somebody whom the policy names has signed."""

    code = "trust.not-believed"


class SignatureMissing(NotBelieved):
    """There is no signature, and the policy requires one."""

    code = "trust.signature-missing"


class SignatureMalformed(NotBelieved):
    """What stands in the place of a signature is not one of OpenSSF Model Signing."""

    code = "trust.signature-malformed"


class SignatureInvalid(NotBelieved):
    """The signature was not made by the key that it names, or contradicts itself."""

    code = "trust.signature-invalid"


class FileUnlisted(NotBelieved):
    """A file is there that the signature does not list; nobody answers for it."""

    code = "trust.file-unlisted"


class FileMissing(NotBelieved):
    """The signature lists a file that is not there."""

    code = "trust.file-missing"


class FileChanged(NotBelieved):
    """A file is not the one that was signed."""

    code = "trust.file-changed"


class IdentityUnknown(NotBelieved):
    """Whoever signed is not named by the policy for this model."""

    code = "trust.identity-unknown"


class IdentityRevoked(NotBelieved):
    """Whoever signed is believed no more."""

    code = "trust.identity-revoked"


class LimitError(ShipwayError):
    """A limit of the server was reached."""

    code = "limit.exceeded"


class TooLarge(LimitError):
    """A request is larger than the setting named in the message allows."""

    code = "limit.too-large"


class Overloaded(LimitError):
    """The queue is full; ``retry_after_s`` says in how many whole seconds to try again."""

    code = "limit.overloaded"

    def __init__(self, message: str, *, next_step: str, retry_after_s: int = 1) -> None:
        super().__init__(message, next_step=next_step)
        self.retry_after_s = retry_after_s


class RateLimited(LimitError):
    """A caller asks more often than it may; ``retry_after_s`` says when it may again."""

    code = "limit.rate"

    def __init__(self, message: str, *, next_step: str, retry_after_s: int = 1) -> None:
        super().__init__(message, next_step=next_step)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(LimitError):
    """The time that the caller or the server allowed for the request is over."""

    code = "limit.deadline"


class EnvironmentFailure(ShipwayError):
    """The machine, not the request, is in the way."""

    code = "environment.failed"


class MissingPackage(EnvironmentFailure):
    """A Python package is needed that the base install leaves out."""

    code = "environment.missing-package"

    @classmethod
    def for_extra(cls, package: str, extra: str, why: str) -> MissingPackage:
        """The error for *package*, which comes with the extra *extra* and is needed to *why*."""
        return cls(
            f"the package {package!r} is not installed and is needed to {why}",
            next_step=f'pip install "shipway[{extra}]"',
        )


class StoreError(EnvironmentFailure):
    """The store cannot be opened or written: locked, full, read-only, or of a newer release."""

    code = "store.failed"


class StoreUnavailable(StoreError):
    """The database or the object storage of the store does not answer now; it may in a moment."""

    code = "store.unavailable"


class KeyNotHeld(EnvironmentFailure):
    """Something is encrypted, and none of the keys that are here opens it."""

    code = "encryption.key-not-held"


class PortInUse(EnvironmentFailure):
    """Another program listens on the port."""

    code = "serve.port-in-use"


class ServerUnreachable(EnvironmentFailure):
    """No server answers at the address."""

    code = "serve.unreachable"


class IssuerUnreachable(EnvironmentFailure):
    """A token cannot be judged now: its issuer's keys are being fetched, or cannot be."""

    code = "access.issuer-unreachable"


class ToolMissing(EnvironmentFailure):
    """A program of the system is needed and is not on the PATH."""

    code = "environment.tool-missing"
