"""Keys: their form, what is kept of them, and every way in which one is refused."""

from __future__ import annotations

import ast
import inspect
import itertools
import random
import re
import secrets
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.errors import NotAuthenticated, NotAuthorised, UsageError
from shipway.security import keys
from shipway.security.callers import authorise
from shipway.security.keys import KeyRecord, KeyRing, caller_of, issue, parse
from shipway.security.policy import Scope

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def made(**options: object) -> tuple[str, KeyRecord]:
    defaults: dict[str, object] = {"scopes": ["predict"], "now": NOW, "random": secrets.token_bytes}
    return issue(**{**defaults, **options})  # type: ignore[arg-type]


def test_form() -> None:
    """A key reads shipway, environment, 12 of id, 43 of secret, 6 of checksum."""
    text, record = made(env="test")
    assert re.fullmatch(
        r"shipway_test_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}", text, re.ASCII
    )
    assert text.split("_")[2] == record.id


def test_secret_holds_256_bits() -> None:
    """The largest and the smallest secret both fit, so no bit of the 256 is lost."""
    low, _ = made(random=bytes)
    high, _ = made(random=lambda size: b"\xff" * size)
    assert low.split("_")[3] == "0" * 43
    assert len(high.split("_")[3]) == 43
    assert high.split("_")[3] != low.split("_")[3]


def test_record_does_not_hold_the_secret() -> None:
    """What is kept of a key has no part of its secret in it."""
    text, record = made(name="notebook")
    assert text.split("_")[3] not in repr(record)
    assert record.digest not in text
    assert repr(parse(text)) == f"ParsedKey(id={record.id!r})"


def test_lives_ninety_days_by_default() -> None:
    """A key that nobody gave a lifetime expires after 90 days."""
    assert made()[1].expires_at == NOW + timedelta(days=90)


def test_good_key_is_known() -> None:
    """A key is authenticated until the moment that it expires, and not at it."""
    text, record = made(expires_in=timedelta(days=1))
    ring = KeyRing([made()[1], record, made()[1]])
    assert len(ring) == 3
    assert ring.authenticate(text, NOW + timedelta(hours=23, minutes=59)) == record
    with pytest.raises(NotAuthenticated, match="expired on 2026-01-03T03:04:05Z") as caught:
        ring.authenticate(text, NOW + timedelta(days=1))
    assert "shipway keys create" in caught.value.next_step


@pytest.mark.parametrize("text", [None, ""])
def test_no_key(text: str | None) -> None:
    """Without a key the answer says how to get one and how to send it."""
    with pytest.raises(NotAuthenticated, match="no key came") as caught:
        KeyRing([]).authenticate(text, NOW)
    assert "shipway keys create" in caught.value.next_step
    assert "Authorization: Bearer" in caught.value.next_step


def test_revoked_key() -> None:
    """A revoked key is refused with the date, to who holds it."""
    text, record = made(name="old laptop")
    ring = KeyRing([msgspec.structs.replace(record, revoked_at=NOW)])
    with pytest.raises(NotAuthenticated, match=r"'old laptop' \(.*revoked on 2026-01-02"):
        ring.authenticate(text, NOW)


def test_unknown_and_wrong_look_alike() -> None:
    """An unknown id and a wrong secret under a known id get the same answer."""
    text, record = made()
    other, _ = made()
    stem = f"shipway_live_{record.id}_{other.split('_')[3]}"
    forged = f"{stem}_{keys._checksum(stem)}"
    expired = msgspec.structs.replace(record, expires_at=NOW, revoked_at=NOW)
    refused = []
    for key, ring in ((other, KeyRing([record])), (forged, KeyRing([expired]))):
        with pytest.raises(NotAuthenticated) as caught:
            ring.authenticate(key, NOW)
        refused.append(str(caught.value))
    assert refused[0] == refused[1]
    assert KeyRing([record]).authenticate(text, NOW) == record


@given(st.integers(0, 10**6), st.sampled_from("0aZ_-é\n "))
def test_one_changed_character(position: int, sign: str) -> None:
    """A key with any one character changed is refused, and the refusal does not repeat it."""
    text, record = made()
    index = position % len(text)
    changed = text[:index] + sign + text[index + 1 :]
    if changed == text:
        return
    with pytest.raises(NotAuthenticated) as caught:
        KeyRing([record]).authenticate(changed, NOW)
    assert text.split("_")[3][:10] not in str(caught.value)


def test_checksum_comes_before_the_look_up() -> None:
    """A mistyped key is told from an unknown one."""
    text, _ = made()
    broken = text[:-1] + ("0" if text[-1] != "0" else "1")
    with pytest.raises(NotAuthenticated, match="checksum is wrong"):
        KeyRing([]).authenticate(broken, NOW)


@given(st.text(max_size=120))
def test_any_text(text: str) -> None:
    """Whatever is sent as a key is refused as one and raises nothing else."""
    with pytest.raises(NotAuthenticated):
        KeyRing([]).authenticate(text, NOW)


def test_unknown_id_costs_a_comparison_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key with an unknown id is compared with a digest of nobody, as long as a real one."""
    compared: list[tuple[str, str]] = []

    def watch(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(keys, "compare_digest", watch)
    with pytest.raises(NotAuthenticated, match="not known"):
        KeyRing([]).authenticate(made()[0], NOW)
    assert compared[-1][1] == "0" * 64


def test_digests_meet_only_compare_digest() -> None:
    """No line of the module compares a digest or a checksum by ``==``."""
    tree = ast.parse(inspect.getsource(keys))
    compared = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
    ]
    assert [line for line in compared if re.search("digest|checksum|secret|text", line)] == []


def test_rights() -> None:
    """A key may do what its scopes allow; admin may everything; else the answer names both."""
    _, record = made(scopes=["label", "view"], name="lab")
    _, admin = made(scopes=[Scope.ADMIN])
    authorise(caller_of(record), Scope.LABEL)
    for scope in Scope:
        authorise(caller_of(admin), scope)
    with pytest.raises(NotAuthorised, match="has the scope label, view and this needs predict"):
        authorise(caller_of(record), Scope.PREDICT)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": ["predict", "root"]},
        {"scopes": []},
        {"env": "Live"},
        {"env": "a_b"},
        {"expires_in": timedelta(0)},
    ],
)
def test_senseless_keys(wrong: dict[str, object]) -> None:
    """A key of no known scope, of a strange environment or without a lifetime is not made."""
    with pytest.raises(UsageError):
        made(**wrong)


def test_keys_differ() -> None:
    """Two thousand keys from one generator have two thousand ids and secrets."""
    source = random.Random(7)
    texts = [made(random=source.randbytes)[0].split("_") for _ in range(2000)]
    assert len({text[2] for text in texts}) == len({text[3] for text in texts}) == 2000


def test_scopes_are_sorted_and_once() -> None:
    """The order and the repetition of scopes make no difference."""
    for order in itertools.permutations(["view", "label", "view"]):
        assert made(scopes=order)[1].scopes == (Scope.LABEL, Scope.VIEW)
