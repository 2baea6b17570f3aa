"""Threats through what is shown: pages, terminals, logs, spreadsheets, and secrets in any of it."""

from __future__ import annotations

import ast
import csv
import io
import json
import logging
import os
import random
import re
import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from tests.model_signers import new_key
from tests.serving_rig import MODEL, eventually, make_key, running
from tests.soak.scale import sized
from tests.stores import NOW, Store, files, manifest
from tests.unit.documents.test_card import HOSTILE, tags, tokens
from tests.unit.serving.test_gatekeeper import Door

import shipway
from shipway.batch.cells import safe_cells
from shipway.batch.quarantine import set_aside, write_quarantine
from shipway.bootstrap.logs import configured_logs
from shipway.bootstrap.processes import server_plan
from shipway.bootstrap.trusting import without_signing_key
from shipway.cli.visible import one_line, visible, visible_json
from shipway.config.secrets import command_without_secrets, shown
from shipway.config.settings import ServeSettings
from shipway.config.trust import SignSettings
from shipway.contract.schema import Column, Contract, Role
from shipway.contract.violations import no_row
from shipway.documents.card import Card, render_card
from shipway.documents.wording import markdown
from shipway.domain.metrics import Task
from shipway.domain.model import Kind
from shipway.errors import ShipwayError
from shipway.monitoring.report import _embedded, _environment
from shipway.registry.addresses import Addresses
from shipway.registry.records import Lineage, Version
from shipway.runtimes.confinement import clean_environment
from shipway.security.keys import parse, without_secrets

SIGNS = "".join(map(chr, [*range(32), 127, *range(128, 160), 0x2028, 0x2029, 0x202E, 0xFEFF]))
ESCAPES = ["a\r\nb: c", "\x1b[2J\x1b]0;owned\x07", "\u2028next", "\u202egnp", "a\nERROR x",
           "x" * 10**6, "\x9b31m", "\x00", "{}\n{}", SIGNS]  # fmt: skip


def card_of(text: str) -> Card:
    """The card of a version in which *text* stands wherever anybody may write."""
    contract = Contract(
        model="flight-delay",
        task=Task.BINARY,
        description=text,
        columns=(
            Column(name=f"c{text}", kind=Kind.STRING, categories=(text,), description=text),
            Column(name="late", kind=Kind.INTEGER, role=Role.TARGET),
        ),
    )
    made = msgspec.structs.replace(
        manifest(files("a")),
        notes=(text,),
        lineage=Lineage(command=("python", text), parameters={f"p{text}": text}, platform=text),
    )
    version = Version(model="flight-delay", number=1, digest=f"sha256:{'a' * 64}", created_at=NOW,
                      created_by=text, manifest=made)  # fmt: skip
    return render_card(version, contract=contract, decision=text)


def test_cross_site_scripting() -> None:
    """Whatever stands in a name, a note or a description, a card and a report hold the same
    elements as with plain text, and a script of the page cannot be ended by what is in it.
    """
    plain = card_of("plain")
    for text in HOSTILE:
        card = card_of(text)
        assert tags(card.html).tags == tags(plain.html).tags, text
        assert "html_inline" not in tokens(markdown(text)), text
        assert "link_open" not in tokens(markdown(text)), text
        page = _environment().from_string("<p>{{ x }}</p>").render(x=text)
        assert tags(page).tags == [("p",)], text
        assert not {"<", ">", "\u2028"} & set(_embedded({"name": text}))


def test_log_injection_and_terminal_escapes(tmp_path: Path) -> None:
    """Whatever is logged is one line of JSON in ASCII, what is printed holds no control character,
    and no answer and no audit line repeats one.
    """
    stream = io.StringIO()
    with configured_logs("worker-0", stream=stream):
        for text in ESCAPES:
            logging.getLogger("shipway.x").warning("%s", text, extra={"code": text})
            try:
                raise ValueError(text)
            except ValueError:
                logging.getLogger("shipway.x").exception(text)
    lines = stream.getvalue().split("\n")
    assert lines.pop() == ""
    assert len(lines) == 2 * len(ESCAPES)
    for line in lines:
        assert json.loads(line)["process"] == "worker-0"
        assert line.isascii()
        assert line.isprintable()
    for text in ESCAPES:
        for told in (visible(text), one_line(text), visible_json(json.dumps(text))):
            assert not [one for one in told if one not in "\n\t" and _controls(one)]
        assert "\n" not in one_line(text)
        door = Door(tmp_path, keys=[])
        raw: Any = text[:60].encode("latin-1", "ignore").translate(None, b"\r\n\0")
        door.ask("GET", "/v1/status", headers=[("X-Request-Id", raw)])
        assert door.refusals
        for _, actor in door.refusals:
            assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", actor.request, re.ASCII)
    with running(tmp_path / "run") as world:
        eventually(lambda: world.get("/readyz").status == 200)
        for target in (b"/v2/models/a\xc2\x9b2Jb", b"/v2/models/\xe2\x80\xa8x", b"/x\xff\xfe"):
            wire = world.wire().send(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            body = wire.reply().json["error"]
            assert not [one for one in body if _controls(one)], body
        kind = b"Content-Type: a\x9b2Jb\r\nContent-Length: 2\r\n\r\n{}"
        posted = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: x\r\n".encode() + kind
        body = world.wire().send(posted).reply().json["error"]
        assert "2jb" in body
        assert not [one for one in body if _controls(one)], body


def _controls(sign: str) -> bool:
    return unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


class Careless:
    """A service that fails with a secret in its error."""

    def status(self) -> dict[str, Any]:
        raise RuntimeError("postgresql://anna:hunter2@db/x shipway_live_abc")


def test_secrets_in_environment_and_errors(tmp_path: Path, monkeypatch: Any) -> None:
    """A key, a password, a webhook's address and a private key are in no log, no repr, no error,
    no manifest, and not in the environment of what runs a model's code.
    """
    text, record = make_key()
    secret = text.split("_")[3]
    stream = io.StringIO()
    with configured_logs("worker-0", stream=stream):
        logging.getLogger("x").warning("refused %s", text, extra={"header": f"Bearer {text}"})
        try:
            raise ValueError(text)
        except ValueError:
            logging.getLogger("x").exception("failed")
    assert secret not in stream.getvalue()
    assert record.id in stream.getvalue()
    assert secret not in without_secrets(f"a {text} b {text}")
    assert secret not in repr(parse(text))
    with pytest.raises(ShipwayError) as caught:
        parse(text[:-1])
    assert secret not in f"{caught.value!r} {caught.value.message} {caught.value.next_step}"
    addresses = Addresses(records="postgresql://anna:hunter2@db.example/x")
    assert "hunter2" not in f"{addresses!r} {addresses.told.records}"
    hook = "https://chat.example/T0/B1/hunter2"
    assert "hunter2" not in shown("alerts.webhook", hook)
    words = ("pack", "--set", f"alerts.webhook={hook}", f"--set=alerts.webhook={hook}")
    assert "hunter2" not in " ".join(command_without_secrets(words))
    key, pem = new_key()
    assert pem.decode().split("\n")[1] not in repr(key)
    assert repr(key) == "PrivateKey()"
    seeded = {f"X_{number}": f"hunter2-{number}" for number in range(20)} | {
        "SHIPWAY_SIGN__KEY": "hunter2", "AWS_SECRET_ACCESS_KEY": "hunter2",
        "PGPASSWORD": "hunter2", "SHIPWAY_STORE__URL": "postgresql://a:hunter2@b/c",
        "PATH": os.environ["PATH"],
    }  # fmt: skip
    assert "hunter2" not in str(clean_environment(seeded))
    told = {"SHIPWAY_KEY": "hunter2-key", "SHIPWAY_ALERTS__WEBHOOK": hook, "SIGNS": "hunter2-signs"}
    told = without_signing_key(SignSettings(key="env:SIGNS"), told)
    plan = server_plan(home=tmp_path, model=MODEL, serve=ServeSettings(), addresses=addresses,
                       environ=told)  # fmt: skip
    kept = [name for name, value in (plan.environment or {}).items() if "hunter2" in value]
    assert kept == ["PGPASSWORD"]
    assert "hunter2" not in str((plan.worker_command, plan.control_command, plan.zygote_command))
    door = Door(tmp_path)
    monkeypatch.setattr(door.services, "status", Careless().status)
    reply = door.ask("GET", "/v1/status")
    assert reply.status_code == 500
    assert b"hunter2" not in reply.content


AUDITED_SQL = frozenset({"sql/schema.py", "sql/sqlite.py", "sql/postgres.py"})
"""Pragmas, triggers and the name of a table of ours: what has no parameters in SQL."""


def test_query_and_filter_injection(tmp_path: Path) -> None:
    """Text of a client is a value in every query: it finds what it names, or nothing; and no
    statement is put together from text.
    """
    store = Store(tmp_path / "store")
    version = store.publish("a")
    dice = random.Random(7)
    parts = ["'", '"', ";", "--", "/*", " OR ", "1=1", "UNION SELECT", "flight-delay", "%", "_",
             "\\", "\x00", ")", "(", "x", "DROP TABLE versions", "' OR '1'='1", "${jdbc:x}",
             "{{x}}", "é"]  # fmt: skip
    texts = {"".join(dice.choices(parts, k=dice.randrange(1, 6))) for _ in range(sized(800, 5_000))}
    texts |= {"' OR '1'='1", "flight-delay' --", '" OR ""="', "%", "flight%"}
    texts.discard("flight-delay")
    store.registry.add_key(make_key()[1])
    for text in texts:
        assert store.registry.versions(text) == ()
        assert store.registry.history(text) == ()
        assert store.registry.stores[0].signatures.list(text, 1) == ()
        assert store.registry.stores[0].versions.get(text, 1) is None
        with pytest.raises(ShipwayError):
            store.registry.version(text, 1)
        with pytest.raises(ShipwayError):
            store.registry.revoke_key(text, now=NOW)
    assert store.registry.version("flight-delay", 1) == version
    assert all(one.revoked_at is None for one in store.registry.keys())  # noqa: SIM118 - no mapping
    store.registry.close()
    source = Path(shipway.__file__).parent
    found = [
        f"{path.relative_to(source)}:{line}"
        for path in (source / "registry").rglob("*.py")
        if path.relative_to(source / "registry").as_posix() not in AUDITED_SQL
        for line in _made_statements(ast.parse(path.read_text("utf-8")))
    ]
    assert found == []


def _made_statements(module: ast.Module) -> list[int]:
    """The lines that hand a database text which was put together, or not written there."""
    return [
        node.lineno
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in {"text", "literal_column", "exec_driver_sql"}
        and any(isinstance(one, ast.JoinedStr | ast.BinOp) for one in node.args)
    ]


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|'/C calc'!A0", "=HYPERLINK(1)"]
STARTS = ("=", "+", "-", "@", "\t", "\r")


def test_csv_and_formula_injection() -> None:
    """No cell and no name of a column of a file for spreadsheets begins a formula, in what was
    predicted and in what was set aside; and numbers stay numbers.
    """
    frame = pl.DataFrame({text: [text, "plain"] for text in FORMULAS})
    aside = io.BytesIO()
    faults = {row: [no_row(row, text)] for row, text in enumerate((FORMULAS[0], "-"))}
    bad = set_aside(frame, [1, 2], faults, file="=file")
    write_quarantine([bad], bad.columns, aside, excel_safe=True)
    safe = safe_cells(frame)
    written = csv.reader(io.StringIO(aside.getvalue().decode(), newline=""))
    cells = [*safe.columns, *(cell for row in (*safe.rows(), *written) for cell in row)]
    assert len(cells) > 4 * len(FORMULAS)
    assert [cell for cell in cells if str(cell).startswith(STARTS)] == []
    numbers = pl.DataFrame({"a": [-1.5]})
    assert safe_cells(numbers).equals(numbers)
