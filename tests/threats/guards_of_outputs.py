"""What guards pages, logs and files for people, and what each guard is without itself."""

from __future__ import annotations

from tests.threats.guard import Guard

PAGES = (
    Guard("text in a card of HTML", "documents/card.py", "autoescape=True", "autoescape=False"),
    Guard(
        "text in a card of Markdown",
        "documents/wording.py",
        'line = _SPECIAL.sub(r"\\\\\\g<0>", one_line(text))',
        "line = one_line(text)",
    ),
    Guard("text in a report", "monitoring/report.py", "autoescape=True", "autoescape=False"),
    Guard(
        "data in a script of a report",
        "monitoring/report.py",
        '"".join(_UNSAFE.get(character, character) for character in text)',
        "text",
    ),
)
LOGS = (
    Guard(
        "a record is one line",
        "bootstrap/logs.py",
        "return json.dumps(kept, sort_keys=True, default=repr)",
        'return "{" + ", ".join(f\'"{n}": "{v}"\' for n, v in kept.items()) + "}"',
    ),
    Guard(
        "a record is ASCII",
        "bootstrap/logs.py",
        "return json.dumps(kept, sort_keys=True, default=repr)",
        "return json.dumps(kept, sort_keys=True, default=repr, ensure_ascii=False)",
    ),
    Guard(
        "what a terminal obeys",
        "cli/visible.py",
        '_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})',
        "_HIDDEN: frozenset[str] = frozenset()",
    ),
    Guard(
        "one line is one",
        "cli/visible.py",
        'return visible(text).replace("\\n", "\\\\n").replace("\\t", "\\\\t")',
        "return visible(text)",
    ),
    Guard(
        "ids of requests",
        "serving/gatekeeper.py",
        "request = sent if _REQUEST_ID.fullmatch(sent) else new_id()",
        "request = sent",
    ),
    Guard(
        "what an answer repeats",
        "serving/routes.py",
        'told = repr(text[:64].decode("latin-1"))',
        'told = text[:64].decode("latin-1")',
    ),
)
SECRETS = (
    Guard(
        "keys in logs",
        "bootstrap/logs.py",
        "without_secrets(value) if isinstance(value, str) else value",
        "value",
    ),
    Guard("keys in text", "security/keys.py", 'return _SECRET.sub(r"\\1***", text)', "return text"),
    Guard(
        "keys in repr", "security/keys.py", "    text: str = field(repr=False)\n", "    text: str\n"
    ),
    Guard("passwords in repr", "registry/addresses.py", "told = self.told\n", "told = self\n"),
    Guard(
        "passwords of addresses",
        "config/addresses.py",
        "netloc=f\"{who.partition(':')[0]}{at}{host}\"",
        'netloc=f"{who}{at}{host}"',
    ),
    Guard(
        "addresses of webhooks",
        "config/secrets.py",
        "if name not in SECRETS or not value:",
        "if True:",
    ),
    Guard(
        "settings in a recorded command",
        "config/secrets.py",
        'return f"{name}{more}{HIDDEN}" if name and more else word',
        "return word",
    ),
    Guard(
        "private keys in repr",
        "security/curves.py",
        "    _key: EllipticCurvePrivateKey = field(repr=False)\n",
        "    _key: EllipticCurvePrivateKey = field(repr=True)\n",
    ),
    Guard(
        "variables of a confined process",
        "runtimes/confinement.py",
        "for name in sorted(_ALLOWED & environ.keys())",
        "for name in sorted(environ.keys())",
    ),
    Guard(
        "variables of the workers",
        "bootstrap/processes.py",
        "for k, v in environ.items() if k not in _NOT_FOR_CHILDREN",
        "for k, v in environ.items()",
    ),
    Guard(
        "the key that signs",
        "bootstrap/trusting.py",
        "for name, value in environ.items() if name not in secret",
        "for name, value in environ.items()",
    ),
    Guard(
        "passwords in a command line",
        "bootstrap/processes.py",
        "addresses=addresses.told,",
        "addresses=addresses,",
    ),
    Guard(
        "what an unexpected error says",
        "serving/control_routes.py",
        'body = {"error": "the server failed", "code"',
        'body = {"error": str(error), "code"',
    ),
)
QUERIES = (
    Guard(
        "a version by its model",
        "registry/sql/versions.py",
        "            _COLUMNS.model == model, _COLUMNS.number == number, NOT_DELETED",
        '            __import__("sqlalchemy").text(f"versions.model = \'{model}\'"),'
        " _COLUMNS.number == number, NOT_DELETED",
    ),
    Guard(
        "versions by their model",
        "registry/sql/versions.py",
        "query = select(VERSIONS).where(_COLUMNS.model == model, NOT_DELETED)",
        "query = select(VERSIONS).where(_COLUMNS.model.like(model), NOT_DELETED)",
    ),
    Guard(
        "statements are not put together",
        "registry/sql/endpoints.py",
        "query = select(ENDPOINT_CHANGES).where(_COLUMNS.endpoint == endpoint)\n",
        'from sqlalchemy import text\n        text(f"{endpoint}")\n'
        "        query = select(ENDPOINT_CHANGES).where(_COLUMNS.endpoint == endpoint)\n",
    ),
)
FORMULAS = (
    Guard(
        "cells",
        "batch/cells.py",
        "cell = pl.when(cell.str.contains(_STARTS_A_FORMULA)).then(prefixed).otherwise(cell)",
        "pass",
    ),
    Guard(
        "names of columns",
        "batch/cells.py",
        'return f"\'{name}" if name.startswith(',
        "return name if name.startswith(",
    ),
    Guard(
        "what was set aside",
        "batch/quarantine.py",
        "safe_cells(whole) if excel_safe else whole",
        "whole",
    ),
    Guard("tabs before a formula", "batch/cells.py", 'r"^[=+\\-@\\t\\r]"', 'r"^[=+\\-@]"'),
)
