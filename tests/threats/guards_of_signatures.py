"""What makes a signature one, and what each guard is without itself."""

from __future__ import annotations

from tests.threats.guard import Guard

SIGNATURES = (
    Guard(
        "a signature is by its key",
        "security/signatures.py",
        "if not key.signed(signed_message(payload), signature):",
        "if False:",
    ),
    Guard(
        "a key is the one that is named",
        "security/signatures.py",
        "if told.hint and told.hint != key.fingerprint:",
        "if False:",
    ),
    Guard(
        "the whole is of its parts",
        "security/statements.py",
        'if subject.digest.get("sha256") != root:',
        "if False:",
    ),
    Guard(
        "files that nobody signed",
        "security/matching.py",
        "unlisted = sorted(there.keys() - signed.keys())",
        "unlisted: list[str] = []",
    ),
    Guard(
        "files that were signed and are gone",
        "security/matching.py",
        "missing = sorted(signed.keys() - there.keys())",
        "missing: list[str] = []",
    ),
    Guard(
        "files that were changed",
        "security/matching.py",
        "if signed[name] != there[name])",
        "if False)",
    ),
    Guard(
        "who signed",
        "security/trust.py",
        "    if not believed:\n        raise IdentityUnknown",
        "    if False:\n        raise IdentityUnknown",
    ),
    Guard("who is revoked", "security/trust.py", "    if revoked:\n", "    if False:\n"),
    Guard(
        "that anybody signed",
        "security/trust.py",
        "    raise refused\n\n\ndef _good",
        "    return Believed(named=True)\n\n\ndef _good",
    ),
    Guard(
        "models of an identity",
        "security/trust.py",
        "for pattern, who in self.identities if fnmatchcase(model, pattern))",
        "for pattern, who in self.identities)",
    ),
    Guard(
        "the authority of a certificate",
        "security/trust.py",
        "        check_chain(signed.chain, policy.authorities)\n",
        "        pass\n",
    ),
    Guard("what a certificate is for", "security/chains.py", "    _check_purpose(leaf)\n", ""),
    Guard(
        "who may certify",
        "security/chains.py",
        "        if not constraints.ca:\n",
        "        if False:\n",
    ),
    Guard(
        "what a certifier's key is for",
        "security/chains.py",
        "        if usage is not None and not usage.key_cert_sign:\n",
        "        if False:\n",
    ),
    Guard(
        "the media type of a bundle",
        "security/statements.py",
        "if bundle.media_type != BUNDLE_TYPE:",
        "if False:",
    ),
    Guard(
        "the type of a payload",
        "security/statements.py",
        "if envelope.payload_type != PAYLOAD_TYPE:",
        "if False:",
    ),
    Guard(
        "one signature", "security/statements.py", "if len(envelope.signatures) != 1:", "if False:"
    ),
    Guard(
        "what is stated",
        "security/statements.py",
        "if told.predicate_type != PREDICATE_TYPE:",
        "if False:",
    ),
    Guard(
        "names in a statement",
        "security/statements.py",
        '        if fault:\n            raise _malformed(f"it lists',
        '        if False:\n            raise _malformed(f"it lists',
    ),
    Guard(
        "strong digests in a statement",
        "security/statements.py",
        "if not all(algorithm.fullmatch(told) for told in _algorithms(serialization, listed)):",
        "if False:",
    ),
    Guard(
        "the manifest is signed too",
        "registry/signing.py",
        "return {**files, MANIFEST_NAME: hex_of(version.digest)}",
        "return files",
    ),
    Guard(
        "a version is judged before it is opened",
        "registry/copies.py",
        "        self.signing.believe(version)\n",
        "",
    ),
    Guard(
        "the files of a copy are hashed",
        "registry/cache.py",
        "_digest_beneath(root, entry.path) == entry.digest for entry",
        "True for entry",
    ),
)
