"""What guards the doors, and what each guard is without itself."""

from __future__ import annotations

from tests.threats.guard import Guard

DEFAULTS = (
    Guard(
        "no open address without keys",
        "serving/sockets.py",
        "    if not authentication:\n        raise UsageError(",
        "    if False:\n        raise UsageError(",
    ),
    Guard(
        "this machine alone by default",
        "config/settings.py",
        'description="the address to listen on")] = "127.0.0.1"',
        'description="the address to listen on")] = "0.0.0.0"',
    ),
    Guard(
        "keys by default",
        "serving/access.py",
        "    authentication: bool = True\n",
        "    authentication: bool = False\n",
    ),
    Guard(
        "who calls the control plane",
        "serving/gatekeeper.py",
        'if scope["path"] not in OPEN:',
        "if False:",
    ),
    Guard(
        "who calls the data plane",
        "serving/dataplane.py",
        "        if route.scope is not None:\n            credentials",
        "        if False:\n            credentials",
    ),
)
ROUTES = (
    Guard(
        "one spelling of what is open",
        "serving/gatekeeper.py",
        'if scope["path"] not in OPEN:',
        'if not scope["path"].startswith(tuple(OPEN)):',
    ),
    Guard(
        "a header that came twice",
        "serving/gatekeeper.py",
        '            _check_once(scope["headers"])\n',
        "",
    ),
    Guard(
        "what is not there is asked for by callers",
        "serving/routes.py",
        "    return Route((), DESCRIBE, partial(_refuse, error, None), nowhere=True)",
        "    return Route((), None, partial(_refuse, error, None), nowhere=True)",
    ),
    Guard(
        "unknown models are asked for by callers",
        "serving/dataplane.py",
        "return Route((*GET, *POST), DESCRIBE, partial(self._unknown_model, parts))",
        "return Route((*GET, *POST), None, partial(self._unknown_model, parts))",
    ),
    Guard(
        "what is open is few",
        "serving/access.py",
        '*(b"/livez", b"/v2/health/live", b"/"),',
        '*(b"/livez", b"/v2/health/live", b"/", b"/v2"),',
    ),
    Guard(
        "two keys of which one is good",
        "serving/access.py",
        "if plain and plain != bearer:",
        "if False:",
    ),
)
ACCESS = (
    Guard(
        "rights at a route",
        "serving/control_routes.py",
        "    _permit(connection, action)\n\n\ndef _permit",
        "    return\n\n\ndef _permit",
    ),
    Guard(
        "rights of a caller",
        "security/policy.py",
        "return any(needed in INCLUDES[scope] for scope in held)",
        "return bool([*held, needed])",
    ),
    Guard(
        "an author approves nothing",
        "security/policy.py",
        "Scope.AUTHOR: frozenset({Scope.VIEW, Scope.LABEL, Scope.PUBLISH}),",
        "Scope.AUTHOR: frozenset({Scope.VIEW, Scope.LABEL, Scope.PUBLISH, Scope.APPROVE}),",
    ),
    Guard(
        "what an action needs",
        "security/policy.py",
        "Action.PROMOTE: Scope.APPROVE,",
        "Action.PROMOTE: Scope.VIEW,",
    ),
    Guard(
        "a decision about what was seen",
        "registry/sql/endpoints.py",
        "if change.sequence != _newest(connection, change.endpoint) + 1:",
        "if False:",
    ),
)
SITES = (
    Guard(
        "where a change comes from",
        "serving/gatekeeper.py",
        'if origin is not None and origin.decode("latin-1").partition("://")[2] != host:',
        "if False:",
    ),
    Guard(
        "what a change is written in",
        "serving/gatekeeper.py",
        'if kind != b"application/json":',
        "if False:",
    ),
    Guard(
        "by which name the server is called",
        "serving/gatekeeper.py",
        "if strict and not self._is_called(_without_port(host)):",
        "if False:",
    ),
    Guard(
        "names on loopback",
        "serving/gatekeeper.py",
        "strict = self._local or method not in _SAFE",
        "strict = method not in _SAFE",
    ),
    Guard(
        "names on every address",
        "serving/gatekeeper.py",
        "strict = self._local or method not in _SAFE or scope",
        "strict = self._local or scope",
    ),
)
CREDENTIALS = (
    Guard("the length of a secret", "security/keys.py", "_SECRET_BYTES = 32", "_SECRET_BYTES = 4"),
    Guard(
        "chance in a secret",
        "security/keys.py",
        'secret = _base62(int.from_bytes(random(_SECRET_BYTES), "big"), _SECRET_LENGTH)',
        'secret = _base62(int.from_bytes(b"shipway", "big"), _SECRET_LENGTH)',
    ),
    Guard(
        "a digest at rest",
        "security/keys.py",
        'return hashlib.sha256(self.text.encode("ascii")).hexdigest()',
        "return self.text",
    ),
)
TIMING = (
    Guard(
        "a comparison for what is unknown",
        "security/keys.py",
        "same = compare_digest(key.digest, _NOBODY if record is None else record.digest)",
        "same = record is not None and compare_digest(key.digest, record.digest)",
    ),
    Guard(
        "a comparison of all bytes",
        "security/keys.py",
        "same = compare_digest(key.digest, _NOBODY if record is None else record.digest)",
        "same = key.digest == (_NOBODY if record is None else record.digest)",
    ),
    Guard(
        "a checksum of all bytes",
        "security/keys.py",
        "if not compare_digest(_checksum(stem), checksum):",
        "if _checksum(stem) != checksum:",
    ),
    Guard(
        "what is told of a revoked key",
        "security/keys.py",
        "if record is None or not same:",
        "if record is None or (not same and not record.revoked_at):",
    ),
)
