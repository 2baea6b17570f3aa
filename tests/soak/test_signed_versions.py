"""A signed version with one change is refused, for a reason; its copies are believed everywhere."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from tests.soak.copying import COPIES, opened
from tests.soak.mutations import FILES
from tests.soak.scale import sized
from tests.soak.signed import CHANGES, MODEL, moved_away, new_parties, new_signed
from tests.stores import NOW, Store, manifest

from shipway.errors import IntegrityError

_MOST_GENERATIONS = 25


@pytest.mark.timeout(3600)
def test_every_change_is_refused_for_a_reason(tmp_path: Path) -> None:
    """Of random single changes to a signed version, all are refused, each by a code of its kind."""
    count = sized(450, 10_000)
    source = random.Random(4)
    parties = new_parties()
    reasons: dict[str, Counter[str]] = {name: Counter() for name in CHANGES}
    for number in range(count):
        signed = new_signed(source, parties).laid(tmp_path / f"{number}")
        signed.believed()
        name = source.choice(sorted(CHANGES))
        changed = CHANGES[name](source, signed)
        with pytest.raises(IntegrityError) as caught:
            changed.believed()
        reasons[name][caught.value.code] += 1
        moved_away(changed)
    for name, codes in reasons.items():
        print(f"{name:10} {codes.total():6,} refused: {dict(codes.most_common())}")  # noqa: T201
    assert sum(codes.total() for codes in reasons.values()) == count
    assert all(reasons.values())
    told = {code for codes in reasons.values() for code in codes}
    assert all(code.startswith(("trust.", "registry.")) for code in told)


@pytest.mark.timeout(3600)
def test_no_copy_is_refused(tmp_path: Path) -> None:
    """A signed version copied by chance, copies of copies among them, is believed each time."""
    count = sized(60, 10_000)
    source = random.Random(5)
    parties = new_parties()
    store = Store(tmp_path / "0")
    version = store.registry.publish(manifest(FILES, model=MODEL), FILES, by="anna", now=NOW)
    for signer in parties.keys.values():
        store.registry.signing.sign(version, signer, by="anna", now=NOW)
    store.registry.close()
    assert opened(store.home, version, parties.policy) == FILES
    done: Counter[str] = Counter()
    home = store.home
    for number in range(1, count + 1):
        name = source.choice(sorted(COPIES))
        target = tmp_path / f"{number}"
        assert COPIES[name](home, target, version, parties.policy) == FILES, name
        done[name] += 1
        if home != store.home:
            shutil.rmtree(home)
        home = target
        if number % _MOST_GENERATIONS == 0:
            shutil.rmtree(home)
            home = store.home
    print(f"{done.total():,} copies, none refused: {dict(done.most_common())}")  # noqa: T201
    assert set(done) == set(COPIES)
