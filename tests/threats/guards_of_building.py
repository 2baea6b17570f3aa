"""What guards fetching and building, and what each guard is without itself."""

from __future__ import annotations

from tests.threats.guard import Guard

FETCHING = (
    Guard(
        "addresses of metadata",
        "security/fetching.py",
        "if is_forbidden(address) or (address.is_loopback",
        "if (address.is_loopback",
    ),
    Guard(
        "names that lead here",
        "security/fetching.py",
        "if is_forbidden(address) or (address.is_loopback and not _is_here(host)):",
        "if is_forbidden(address):",
    ),
    Guard(
        "addresses within addresses",
        "security/fetching.py",
        "    address = _innermost(address)\n    odd",
        "    odd",
    ),
    Guard(
        "schemes",
        "security/fetching.py",
        'if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(host)):',
        "if False:",
    ),
    Guard("users in an address", "security/fetching.py", "and parts.username is None", ""),
    Guard(
        "redirects", "security/fetching.py", "if response.status != http.client.OK:", "if False:"
    ),
    Guard(
        "a name is resolved once",
        "security/fetching.py",
        "return socket.create_connection((text, port), timeout=timeout_s)",
        "return socket.create_connection((host, port), timeout=timeout_s)",
    ),
    Guard("how much is read", "security/fetching.py", "if len(body) > most_bytes:", "if False:"),
    Guard(
        "schemes of a webhook",
        "monitoring/senders.py",
        'if parts.scheme not in ("https", "http") or not host:',
        "if False:",
    ),
    Guard(
        "a webhook in clear",
        "monitoring/senders.py",
        'if parts.scheme == "http" and not (allow_insecure or _is_here(host)):',
        "if False:",
    ),
)
IMAGES = (
    Guard(
        "the grammar of references",
        "packaging/references.py",
        "    if found is None:\n        raise",
        "    if False:\n        raise",
    ),
    Guard(
        "the whole of a reference",
        "packaging/references.py",
        "_REFERENCE.fullmatch(reference) if",
        "_REFERENCE.match(reference) if",
    ),
    Guard(
        "a base image that stays",
        "packaging/references.py",
        'if found["digest"] is None and found["tag"] in (None, "latest"):',
        "if False:",
    ),
    Guard(
        "the length of a reference",
        "packaging/references.py",
        "if len(reference) <= _LONGEST else None",
        "if True else None",
    ),
    Guard(
        "digests in an image",
        "packaging/image.py",
        "if not _DIGEST.fullmatch(version.digest):",
        "if False:",
    ),
    Guard(
        "formats in an image",
        "packaging/image.py",
        "if spec_format not in _LIBRARIES:",
        "if False:",
    ),
    Guard(
        "names in an image",
        "packaging/image.py",
        'model = check_name(version.model, what="model name")',
        "model = version.model",
    ),
    Guard(
        "values of a workflow", "packaging/ci.py", "if not allowed.fullmatch(value):", "if False:"
    ),
    Guard("paths of a workflow", "packaging/ci.py", 'if ".." in path.split("/"):', "if False:"),
)
SUPPLY = (
    Guard(
        "digests in an image's install",
        "packaging/templates/Dockerfile.j2",
        '"--require-hashes", ',
        "",
    ),
    Guard(
        "no index in an image's install", "packaging/templates/Dockerfile.j2", '"--no-index", ', ""
    ),
    Guard("an image's user", "packaging/templates/Dockerfile.j2", "USER {{ user }}", "USER 0:0"),
    Guard("digests in a workflow", "packaging/templates/shipway.yml.j2", " --require-hashes", ""),
    Guard(
        "rights of a workflow",
        "packaging/templates/shipway.yml.j2",
        "  contents: read",
        "  contents: write",
    ),
    Guard(
        "whose code a workflow runs",
        "packaging/templates/shipway.yml.j2",
        "  pull_request:",
        "  pull_request_target:",
    ),
    Guard(
        "credentials of a workflow",
        "packaging/templates/shipway.yml.j2",
        "persist-credentials: false",
        "persist-credentials: true",
    ),
    Guard(
        "commits of actions",
        "packaging/ci.py",
        'CHECKOUT = "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2"',
        'CHECKOUT = "actions/checkout@v6"',
    ),
    Guard("digests in a lock", "packaging/locking.py", " --hash={digest_of_file(wheel)}", ""),
)
