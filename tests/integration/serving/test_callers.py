"""Tokens and rates at a worker: who is let in, how often, and what stands in the events."""

from __future__ import annotations

from pathlib import Path

from tests.issuers import AUDIENCE, local_issuer, public, token
from tests.serving_rig import MemoryRouting, columns, eventually, infer, make_key, running

from shipway.security.issuer import Issuer, IssuerOptions
from shipway.security.policy import Scope
from shipway.security.rates import Rate, Rates
from shipway.security.tokens import TokenRules
from shipway.serving.access import Admission


def test_tokens(tmp_path: Path) -> None:
    """A token predicts, is known in the events by its subject, and is refused once its key goes."""
    with local_issuer() as local:
        rules = TokenRules(
            issuer=local.url,
            audience=AUDIENCE,
            algorithms=frozenset({"ES256"}),
            grants={"ml.read": (Scope.PREDICT,), "ml.ops": (Scope.LABEL,)},
        )
        issuer = Issuer(IssuerOptions(rules=rules, refresh_s=0.05))
        local.hold.clear()
        issuer.start()
        text, record = make_key()
        routing = MemoryRouting(keys=[record])
        with running(tmp_path, routing=routing, admission=Admission(issuer=issuer)) as world:
            eventually(lambda: world.get("/readyz").status == 200)
            sent = infer(f"Authorization: Bearer {token(local.url)}")
            early = world.ask(sent)
            assert (early.status, early.headers["retry-after"]) == (503, "1")
            assert early.json["code"] == "access.issuer-unreachable"
            local.hold.set()
            eventually(lambda: world.ask(sent).status == 200)
            assert world.ask(infer(f"X-API-Key: {text}")).status == 200
            callers = {event.caller for event in world.sink.events}
            assert callers == {record.id, next(c for c in callers if c.endswith(":robot"))}
            labels = token(local.url, scope="ml.ops")
            assert world.ask(infer(f"Authorization: Bearer {labels}")).status == 403
            routing.set_keys([])
            eventually(lambda: world.ask(infer(f"X-API-Key: {text}")).status == 401)
            assert world.ask(sent).status == 200
            local.keys = [public("EC", 1)]
            eventually(lambda: world.ask(sent).status == 401)
        issuer.stop()


def test_rates(tmp_path: Path) -> None:
    """Who asks too often is told when to come back; others, and open routes, are not held up."""
    (text, record), (other, second) = (make_key(salt=salt) for salt in (0, 1))
    requests = Rates(
        tmp_path / "rates", Rate(0.01, 3), of="requests", setting="auth.requests_per_s"
    )
    admission = Admission(requests=requests)
    routing = MemoryRouting(keys=[record, second])
    with running(tmp_path, routing=routing, admission=admission) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        wire = world.wire()
        replies = [wire.send(infer(f"X-API-Key: {text}")).reply() for _ in range(5)]
        assert [reply.status for reply in replies] == [200] * 3 + [429] * 2
        assert replies[-1].json["code"] == "limit.rate"
        assert 90 <= int(replies[-1].headers["retry-after"]) <= 100
        assert world.ask(infer(f"X-API-Key: {other}")).status == 200
        assert {world.get("/livez").status for _ in range(9)} == {200}
        routing.set_keys([record])
        eventually(lambda: world.ask(infer(f"X-API-Key: {other}")).status == 401)
        assert world.ask(infer(f"X-API-Key: {text}")).status == 429
    requests.close()


def test_rows(tmp_path: Path) -> None:
    """Rows are counted as well, however few the requests that bring them."""
    text, record = make_key()
    rows = Rates(tmp_path / "rates", Rate(0.01, 10), of="rows", setting="auth.rows_per_s")
    routing = MemoryRouting(keys=[record])
    with running(tmp_path, routing=routing, admission=Admission(rows=rows)) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        sent = infer(f"X-API-Key: {text}", data=columns(6))
        assert [world.ask(sent).status for _ in range(3)] == [200, 429, 429]
        assert world.ask(infer(f"X-API-Key: {text}", data=columns(4))).status == 200
    rows.close()


def test_anonymous(tmp_path: Path) -> None:
    """Where authentication is off, events say that nobody was asked."""
    with running(tmp_path) as world:
        eventually(lambda: world.get("/readyz").status == 200)
        assert world.ask(infer()).status == 200
        assert {event.caller for event in world.sink.events} == {"anonymous"}
