"""A registry that asks who one is, is busy, or breaks off: what a client makes of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests import oci_registries, stores
from tests.integration.exchange.artefacts import project_in, send, served, write_layout

from shipway.api.project import open_project
from shipway.api.pull import pull
from shipway.api.push import push
from shipway.domain.digests import digest_of
from shipway.errors import EnvironmentFailure, NotAuthenticated, ServerUnreachable
from shipway.exchange import session
from shipway.exchange.references import target
from shipway.exchange.remote import RemoteRepository
from shipway.exchange.session import Session
from shipway.registry.oci import Descriptor

MODEL = stores.files("a")["model.onnx"]
URL = "/v2/models/flight-delay"
Answer = Callable[[BaseHTTPRequestHandler], object]


class Told:
    """Answers one after the other, and what was asked; the last one is given again and again."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, str]] = []

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append({name.lower(): value for name, value in handler.headers.items()})
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        answer(handler)


def busy(status: int, **headers: str) -> Answer:
    return lambda handler: send(handler, b"", status=status, says=None, **headers)


def whole(handler: BaseHTTPRequestHandler) -> None:
    send(handler, MODEL)


def from_where_it_was(handler: BaseHTTPRequestHandler) -> None:
    """The rest of the model, as the range says."""
    start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    there = f"bytes {start}-{len(MODEL) - 1}/{len(MODEL)}"
    send(handler, MODEL[start:], status=206, Content_Range=there)


@contextmanager
def repository(folder: Path, answers: Told, waits: list[float]) -> Iterator[RemoteRepository]:
    """A repository whose registry gives *answers* about the model; *waits* are the pauses."""
    packed = write_layout(folder / "layout")
    assert packed
    with served(folder / "layout", {digest_of(MODEL): answers}) as address:
        reference = target(f"{address}/models/flight-delay:1")
        with Session(reference, sleep=waits.append) as opened:
            yield RemoteRepository(reference, opened)


def described() -> Descriptor:
    return Descriptor(media_type="x", digest=digest_of(MODEL), size=len(MODEL))


@pytest.mark.needs(oci_registries.PROGRAM)
def test_a_login_opens_the_registry(tmp_path: Path) -> None:
    """By variables or by podman's file one gets in; without, the error says how, and no secret."""
    with (
        oci_registries.running(tmp_path, login=True) as address,
        open_project(project_in(tmp_path / "project"), environ={}) as project,
    ):
        contents = stores.files("a")
        project.registry.publish(stores.manifest(contents), contents, by="anna", now=stores.NOW)
        place = f"{address}/models/flight-delay:1"
        with pytest.raises(NotAuthenticated, match="podman login"):
            push(project, "1", place)
        user, password = oci_registries.USER, oci_registries.PASSWORD
        packed = base64.b64encode(f"{user}:{password}".encode()).decode()
        (tmp_path / "auth.json").write_text(json.dumps({"auths": {address: {"auth": packed}}}))
        variables = {
            "SHIPWAY_REGISTRY_HOST": address,
            "SHIPWAY_REGISTRY_USER": user,
            "SHIPWAY_REGISTRY_PASSWORD": password,
        }
        wrong = variables | {"SHIPWAY_REGISTRY_PASSWORD": "guessed"}
        for environ in (variables, {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}):
            with open_project(project.folder, environ=environ) as known:
                sent = push(known, "flight-delay@1", place)
                assert pull(known, place).artifact == sent.digest
        with (
            open_project(project.folder, environ=wrong) as known,
            pytest.raises(NotAuthenticated) as caught,
        ):
            pull(known, place)
        assert "guessed" not in str(caught.value)
        lines = "".join(path.read_text() for path in (project.home / "audit").glob("*.jsonl"))
        assert '"access.not-authenticated"' in lines
        assert password not in lines


def test_a_token_is_asked_for_and_told_to_nobody_else(tmp_path: Path) -> None:
    """The challenge names who gives tokens; where a blob lies elsewhere, no token is sent along."""
    write_layout(tmp_path / "layout")
    elsewhere = Told(whole)
    realm = Told(lambda handler: send(handler, b'{"token": "t0ken"}'))
    environ_of = {"SHIPWAY_REGISTRY_USER": "anna", "SHIPWAY_REGISTRY_PASSWORD": "sesame"}
    with served(tmp_path / "layout", {"/bytes": elsewhere}) as other:

        def manifest(handler: BaseHTTPRequestHandler) -> None:
            if handler.headers["Authorization"] != "Bearer t0ken":
                challenge = f'Bearer realm="http://{address}/token",service="s",scope="pull"'
                send(handler, b"", status=401, WWW_Authenticate=challenge)
            else:
                send(handler, packed)

        packed = write_layout(tmp_path / "layout")
        away = busy(307, Location=f"http://{other}/bytes")
        answers: dict[str, Answer] = {
            "manifests/1": manifest,
            "/token": realm,
            digest_of(MODEL): away,
        }
        with (
            served(tmp_path / "layout", answers) as address,
            open_project(
                project_in(tmp_path / "project"),
                environ={**environ_of, "SHIPWAY_REGISTRY_HOST": address},
            ) as project,
        ):
            assert pull(project, f"{address}/models/flight-delay:1").version == "flight-delay@1"
    assert realm.asked[0]["authorization"].startswith("Basic ")
    assert "authorization" not in elsewhere.asked[0]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_registry_is_asked_again(tmp_path: Path, status: int) -> None:
    """What may pass is tried again, later each time."""
    waits: list[float] = []
    told = Told(busy(status), busy(status), whole)
    with repository(tmp_path, told, waits) as opened:
        assert opened.blob(described()) == MODEL
    assert len(told.asked) == 3
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1.0


def test_a_registry_says_when(tmp_path: Path) -> None:
    """Retry-After is kept to, but nobody waits for hours."""
    waits: list[float] = []
    told = Told(busy(429, Retry_After="7"), busy(503, Retry_After="86400"), whole)
    with repository(tmp_path, told, waits) as opened:
        assert opened.blob(described()) == MODEL
    assert waits == [7.0, 30.0]


def test_there_is_an_end_to_patience(tmp_path: Path) -> None:
    """A registry that stays busy is told as such, with its own words."""
    waits: list[float] = []
    told = Told(lambda one: send(one, b'{"errors":[{"code":"TOOMANY"}]}', status=503))
    with (
        repository(tmp_path, told, waits) as opened,
        pytest.raises(EnvironmentFailure, match="503: TOOMANY"),
    ):
        opened.blob(described())
    assert len(told.asked) == session.ATTEMPTS


@pytest.mark.parametrize("status", [400, 403, 405])
def test_what_will_not_pass_is_not_tried_again(tmp_path: Path, status: int) -> None:
    """A refusal is one."""
    told = Told(busy(status))
    with repository(tmp_path, told, []) as opened, pytest.raises(Exception, match=r"answered|let"):
        opened.blob(described())
    assert len(told.asked) == 1


def test_a_broken_download_goes_on_where_it_was(tmp_path: Path) -> None:
    """Only what is missing is asked for, as often as it breaks off."""
    told = Told(
        lambda one: send(one, MODEL[:100], says=len(MODEL)),
        lambda one: send(one, MODEL[100:300], status=206, says=len(MODEL) - 100),
        from_where_it_was,
    )
    with repository(tmp_path, told, []) as opened:
        assert opened.blob(described()) == MODEL
    assert [one.get("range") for one in told.asked] == [None, "bytes=100-", "bytes=300-"]


def test_a_registry_without_ranges_sends_all_of_it(tmp_path: Path) -> None:
    """A whole answer to a request for the rest begins anew."""
    told = Told(lambda one: send(one, MODEL[:100], says=len(MODEL)), whole)
    with repository(tmp_path, told, []) as opened:
        assert opened.blob(described()) == MODEL


def test_a_broken_answer_is_asked_for_again(tmp_path: Path) -> None:
    """A manifest that breaks off is fetched again, and one that always does is told."""
    packed = write_layout(tmp_path / "layout")
    short = lambda one: send(one, packed[:10], says=len(packed))  # noqa: E731
    for answers, good in ((Told(short, lambda one: send(one, packed)), True), (Told(short), False)):
        with served(tmp_path / "layout", {"manifests/1": answers}) as address:
            reference = target(f"{address}/models/flight-delay:1")
            with Session(reference, sleep=lambda _: None) as opened:
                if good:
                    assert RemoteRepository(reference, opened).manifest("1") == packed
                else:
                    with pytest.raises(ServerUnreachable):
                        RemoteRepository(reference, opened).manifest("1")
