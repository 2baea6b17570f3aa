"""How long a refusal takes tells nothing of a secret.

Time itself is not measured: on a busy machine such a test fails without a fault, or is so lax
that it finds none. What is measured is the work: two refusals that go through the same calls in
the same order, with comparisons that do not depend on where bytes differ, take the same time.
"""

from __future__ import annotations

import ast
import gc
import inspect
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import FrameType, ModuleType
from typing import Any

import msgspec
import pytest
from tests.serving_rig import make_key

from shipway.errors import NotAuthenticated
from shipway.security import callers, certificates, keys, signers, tokens
from shipway.security.keys import KeyRecord
from shipway.security.policy import Scope
from shipway.serving import access, gatekeeper
from shipway.serving.access import Access, Credentials

NOW = datetime.now(UTC)
TEXT, RECORD = make_key()


def forged(change: Callable[[str], str]) -> str:
    """The good key with its secret changed, and a checksum that is right."""
    head, env, key_id, secret, _ = TEXT.split("_")
    stem = "_".join((head, env, key_id, change(secret)))
    return f"{stem}_{keys._checksum(stem)}"


def other(sign: str) -> str:
    """Another character than *sign*."""
    return "x" if sign != "x" else "y"


UNKNOWN = make_key(salt=1)[0]
WRONG = {
    "first character": forged(lambda secret: other(secret[0]) + secret[1:]),
    "last character": forged(lambda secret: secret[:-1] + other(secret[-1])),
    "all characters": forged(lambda secret: "".join(map(other, secret))),
}


def work(text: str, *records: KeyRecord, header: bytes = b"authorization") -> list[str]:
    """Every call that refusing the key *text* takes, in order."""
    judge = Access(records)
    sent = text if header == b"x-api-key" else f"Bearer {text}"
    credentials = Credentials({header: sent.encode()})
    calls: list[str] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            calls.append(frame.f_code.co_qualname if hasattr(frame.f_code, "co_qualname") else "")
        elif event == "c_call":
            calls.append(str(getattr(argument, "__qualname__", "")))

    with pytest.raises(NotAuthenticated, match="not known here"):
        _traced(lambda: judge.allow(credentials, Scope.PREDICT), note)
    return calls


def _traced(run: Callable[[], object], note: Any) -> None:
    before, collecting = sys.getprofile(), gc.isenabled()
    gc.disable()  # a collection has callbacks, which are not the work that is looked at
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(before)
        if collecting:
            gc.enable()


@pytest.mark.parametrize("header", [b"authorization", b"x-api-key"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_secret_is_as_much_work_as_an_unknown_id(name: str, header: bytes) -> None:
    """Whether an id exists, and where a secret differs, is not told by the work of the refusal."""
    unknown = work(UNKNOWN, RECORD, header=header)
    assert "compare_digest" in " ".join(unknown)
    assert work(WRONG[name], RECORD, header=header) == unknown


@pytest.mark.parametrize(
    "record",
    [
        msgspec.structs.replace(RECORD, revoked_at=NOW),
        msgspec.structs.replace(RECORD, expires_at=NOW - timedelta(days=1)),
        msgspec.structs.replace(RECORD, scopes=(Scope.VIEW,)),
    ],
)
def test_who_has_not_the_secret_learns_nothing_of_the_key(record: KeyRecord) -> None:
    """A revoked, an expired and a lesser key are refused like any to who has not their secret."""
    for text in WRONG.values():
        assert work(text, record) == work(UNKNOWN, RECORD)


def test_the_number_of_keys_is_no_matter() -> None:
    """A refusal among a thousand keys is the work of one among one."""
    many = [msgspec.structs.replace(RECORD, id=f"{number:012}") for number in range(1000)]
    assert work(UNKNOWN, *many) == work(UNKNOWN, RECORD)


def test_what_is_remembered_is_looked_up_by_a_digest_alone() -> None:
    """The one look-up that a secret leads to is by its SHA-256, which no guess can steer."""
    judge = Access([RECORD])
    judge.allow(Credentials({b"x-api-key": TEXT.encode()}), Scope.PREDICT)
    assert list(judge._known) == [sha256(b"\n" + TEXT.encode()).digest()]


@pytest.mark.parametrize(
    "module", [keys, access, gatekeeper, callers, certificates, signers, tokens]
)
def test_secrets_meet_only_compare_digest(module: ModuleType) -> None:
    """No line compares a digest, a checksum, a secret or a signature by ``==`` or ``in``."""
    compared = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Compare)
        and any(isinstance(one, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for one in node.ops)
    ]
    words = ("digest", "checksum", "secret", "signature", "token")
    assert [line for line in compared if any(word in line for word in words)] == []
