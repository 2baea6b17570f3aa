"""A signed model changed by chance is never believed, and a copy of one always is."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from tests.model_signers import new_chain, new_key, write_files
from tests.soak.mutations import FILES, MUTATIONS
from tests.soak.scale import sized
from tests.stores import NOW, Store

from shipway.errors import IntegrityError, NotBelieved
from shipway.registry.current import open_current
from shipway.registry.trees import resources_of
from shipway.security.signatures import Signer
from shipway.security.statements import Resource, Statement
from shipway.security.trust import Signature, TrustMode, TrustPolicy, judge

KEY, _ = new_key()
CHAIN = new_chain()
SIGNERS = {"key": Signer(KEY), "certificate": CHAIN.signer}
POLICY = TrustPolicy(
    mode=TrustMode.REQUIRE,
    identities=tuple(("*", signer.identity) for signer in SIGNERS.values()),
    authorities=CHAIN.root.decode(),
)
NOTHING = Statement("", ())


def signatures_of(folder: Path) -> dict[str, Signature]:
    """The model in *folder*, signed by each of the signers."""
    digests = {one.name: one.digest for one in resources_of(folder, NOTHING)}
    return {
        name: Signature(signer.sign("model", digests), signer.key.public.pem)
        for name, signer in SIGNERS.items()
    }


def believed(folder: Path, signature: Signature) -> None:
    """Raise unless the model in *folder* is what was signed, by somebody named."""
    found: list[Resource] = list(resources_of(folder, NOTHING))
    assert judge(POLICY, "model", found, lambda: [signature], what="the model").named


@pytest.mark.timeout(3600)
def test_no_mutation_is_believed_and_every_copy_is(tmp_path: Path) -> None:
    """Of random single changes to a signed model all are refused, and of copies none."""
    count = sized(700, 10_000)
    source = random.Random(1)
    original = write_files(tmp_path / "original", FILES)
    signatures = signatures_of(original)
    refused: Counter[str] = Counter()
    for number in range(count):
        folder = tmp_path / f"{number}" / "model"
        shutil.copytree(original, folder)
        signature = signatures[source.choice(sorted(signatures))]
        believed(folder, signature)
        mutation = source.choice(MUTATIONS)
        mutation(source, folder)
        with pytest.raises(NotBelieved):
            believed(folder, signature)
        refused[mutation.__name__] += 1
        shutil.rmtree(folder.parent)
    assert sum(refused.values()) == count
    assert set(refused) == {one.__name__ for one in MUTATIONS}


@pytest.mark.timeout(3600)
def test_no_mutated_bundle_says_something_else(tmp_path: Path) -> None:
    """A signature with one byte changed, cut off or in the place of another is not believed.

    Where a change means nothing (a space in the JSON), it is still the same word of the same one.
    """
    count = sized(2_000, 10_000)
    source = random.Random(2)
    original = write_files(tmp_path / "original", FILES)
    found = list(resources_of(original, NOTHING))
    other = write_files(tmp_path / "other", {**FILES, "one": b"2"})
    others = [one.bundle for one in signatures_of(other).values()]
    signatures = list(signatures_of(original).values())
    for _ in range(count):
        signature = source.choice(signatures)
        content = bytearray(signature.bundle)
        at = source.randrange(len(content))
        match source.randrange(4):
            case 0:
                content[at] ^= 1 << source.randrange(8)
            case 1:
                del content[at:]
            case 2:
                del content[at]
            case _:
                content[:] = source.choice(others)
        changed = Signature(bytes(content), signature.public_key)
        try:
            answer = judge(POLICY, "model", found, partial(list, [changed]), what="the model")
        except NotBelieved:
            continue
        assert answer.named


@pytest.mark.timeout(3600)
def test_a_store_mutated_by_chance_gives_no_wrong_byte(tmp_path: Path) -> None:
    """Whatever is changed in the blobs or the cache of a signed version, what opens is what was
    signed, or nothing does.
    """
    count = sized(150, 2_000)
    source = random.Random(3)
    store = Store(tmp_path / "store")
    version = store.publish()
    signer = SIGNERS["key"]
    store.registry.signing.sign(version, signer, by="anna", now=NOW)
    wanted = {path: file.read_bytes() for path, file in store.registry.open_files(version).items()}
    store.registry.close()
    outcomes: Counter[bool] = Counter()
    for number in range(count):
        home = tmp_path / f"home-{number}"
        shutil.copytree(store.home, home)
        mutate_store(source, home)
        with open_current(home, trust=POLICY) as registry:
            try:
                opened = registry.open_files(version)
            except IntegrityError:
                outcomes[False] += 1
            else:
                assert {path: file.read_bytes() for path, file in opened.items()} == wanted
                assert not any(path.is_symlink() for path in opened.values())
                outcomes[True] += 1
        shutil.rmtree(home)
    assert set(outcomes) == {True, False}


def mutate_store(source: random.Random, home: Path) -> None:
    """Change one file of the cache or of the blobs, or add one, or lose one."""
    folders = [home / "cache", home / "blobs" / "blobs"]
    paths = sorted(
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    )
    path = source.choice(paths)
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    match source.randrange(5):
        case 0:
            content[source.randrange(len(content))] ^= 1 << source.randrange(8)
            path.write_bytes(content)
        case 1:
            path.write_bytes(content[: source.randrange(len(content))])
        case 2:
            path.unlink()
        case 3:
            path.unlink()
            path.symlink_to("/etc/hostname")
        case _:
            path.with_name("evil.py").write_bytes(b"evil")
            if home / "blobs" in path.parents:
                path.unlink()
