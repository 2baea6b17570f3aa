"""Alerts: told once, kept until taken, resolved when the objective holds again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.domain.objectives import Objective
from shipway.errors import ConfigError
from shipway.evidence.verdict import Judgement, Measurement, Verdict
from shipway.monitoring.alerts import Alert, AlertState, Sender, advance, deliver
from shipway.monitoring.assess import assess
from shipway.monitoring.findings import WindowReport
from shipway.monitoring.senders import ConsoleSender, WebhookSender, check_address, payload
from shipway.monitoring.window import Window

World = Any  # the class stands in conftest, which cannot be imported
NOW = datetime(2013, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def quiet(world: World) -> WindowReport:
    """A report to put verdicts into."""
    return assess(
        world.frame(rows=600),
        contract=world.contract,
        objectives=world.objectives,
        window=world.window,
        reference=world.reference,
    )


def judged(verdict: Verdict, metric: str = "roc_auc", of: str = "") -> Judgement:
    """A judgement of *metric* with *verdict*."""
    found = Measurement(metric=metric, value=0.6, low=0.5, high=0.65, n=900, method="test", of=of)
    return Judgement(
        objective=Objective(metric=metric, at_least=0.7),
        bound="at_least",
        target=0.7,
        measurement=found,
        verdict=verdict,
        reason="test",
    )


def week(
    report: WindowReport, number: int, *verdicts: Judgement, matured: bool = True
) -> WindowReport:
    """*report* as of week *number* with these judgements."""
    since = report.window.since + timedelta(weeks=number)
    return msgspec.structs.replace(
        report,
        window=Window(since, since + timedelta(weeks=1)),
        judgements=verdicts,
        maturity=msgspec.structs.replace(report.maturity, matured=matured),
    )


def told(state: AlertState) -> list[str]:
    """What is waiting to be told, in a word each."""
    return ["resolved" if n.alert.resolved_at else "opened" for n in state.notices]


def test_an_alert_opens_once_and_resolves_once(quiet: WindowReport) -> None:
    """Fail, fail, undecided, pass, pass: two notices."""
    state = AlertState()
    expected = [["opened"], ["opened"], ["opened"], ["opened", "resolved"], ["opened", "resolved"]]
    verdicts = [Verdict.FAIL, Verdict.FAIL, Verdict.UNDECIDED, Verdict.PASS, Verdict.PASS]
    for number, (verdict, notices) in enumerate(zip(verdicts, expected, strict=True)):
        state = advance(state, week(quiet, number, judged(verdict)), now=NOW)
        assert told(state) == notices
    assert state.open == ()
    assert state.resolved[0].window == week(quiet, 0).window
    assert state.resolved[0].resolved_window == week(quiet, 3).window


@given(verdicts=st.lists(st.sampled_from(list(Verdict)), max_size=12), again=st.integers(0, 3))
def test_notices_follow_the_changes_and_nothing_else(
    quiet: WindowReport, verdicts: list[Verdict], again: int
) -> None:
    """Whatever the verdicts, and however often a window is judged anew."""
    state, open_, expected = AlertState(), False, []
    for number, verdict in enumerate(verdicts):
        for _ in range(1 + again):
            state = advance(state, week(quiet, number, judged(verdict)), now=NOW)
        if verdict is not Verdict.UNDECIDED and (verdict is Verdict.FAIL) != open_:
            open_ = not open_
            expected.append("opened" if open_ else "resolved")
    assert told(state) == expected
    assert bool(state.open) == open_


def test_outcomes_wait_for_labels_and_traffic_does_not(quiet: WindowReport) -> None:
    """A failing window that has not matured opens an alert for its latency alone."""
    report = week(
        quiet, 0, judged(Verdict.FAIL), judged(Verdict.FAIL, "latency_p99_ms"), matured=False
    )
    assert [alert.metric for alert in advance(AlertState(), report, now=NOW).open] == [
        "latency_p99_ms"
    ]


def test_an_older_window_changes_nothing(quiet: WindowReport) -> None:
    """Labels that come late for a week long judged do not reopen what was resolved."""
    state = advance(AlertState(), week(quiet, 5, judged(Verdict.PASS)), now=NOW)
    state = advance(state, week(quiet, 4, judged(Verdict.FAIL)), now=NOW)
    assert state.open == ()
    state = advance(state, week(quiet, 5, judged(Verdict.FAIL)), now=NOW)
    assert len(state.open) == 1


def test_an_objective_that_left_with_its_version_is_withdrawn(quiet: WindowReport) -> None:
    """After a rollback to a version with other objectives its alert ends, and says how."""
    state = advance(AlertState(), week(quiet, 0, judged(Verdict.FAIL)), now=NOW)
    other = judged(Verdict.PASS, "accuracy")
    same_version = advance(state, week(quiet, 1, other), now=NOW)
    assert len(same_version.open) == 1
    rolled_back = msgspec.structs.replace(week(quiet, 1, other), versions={"7": 900})
    state = advance(state, rolled_back, now=NOW)
    assert state.open == ()
    (ended,) = state.resolved
    assert ended.withdrawn
    assert ended.text.startswith("WITHDRAWN")
    assert "holds again" not in ended.text
    assert told(state) == ["opened", "resolved"]


def test_each_slice_has_an_alert_of_its_own(quiet: WindowReport) -> None:
    """And each is resolved by its own figures."""
    both = [judged(Verdict.FAIL, of="origin=EWR"), judged(Verdict.FAIL, of="origin=JFK")]
    state = advance(AlertState(), week(quiet, 0, *both), now=NOW)
    state = advance(state, week(quiet, 1, judged(Verdict.PASS, of="origin=EWR")), now=NOW)
    assert [alert.of for alert in state.open] == ["origin=JFK"]


def test_an_alert_says_all_that_a_person_needs(world: World) -> None:
    """Objective, value, interval, window, what moved, whether that explains it, what to type."""
    report = assess(
        world.frame(spread=0.4),
        contract=world.contract,
        objectives=world.objectives,
        window=world.window,
        reference=world.reference,
    )
    state = advance(AlertState(), report, now=NOW, retrain="python train.py")
    text = next(alert.text for alert in state.open if alert.metric == "accuracy")
    for part in (
        "m@1: in 2013-04-01 to 2013-04-07 accuracy is 0.6",
        "95% interval",
        "the objective is at least 0.7",
        "Moved most: x (PSI",
        "explain about",
        "Next: python train.py, then: shipway pack MODEL_FILE && shipway gate",
    ):
        assert part in text


class Memory:
    """A sender that remembers, and fails when told to."""

    def __init__(self, name: str, error: str = "") -> None:
        self.name, self.error = name, error
        self.taken: list[str] = []

    def send(self, alerts: Sequence[Alert]) -> str:
        """Take *alerts* unless in error."""
        if not self.error:
            self.taken += [alert.fingerprint for alert in alerts]
        return self.error


def test_what_a_sender_did_not_take_is_offered_again(quiet: WindowReport) -> None:
    """To it alone; the others have heard it."""
    good, bad = Memory("console"), Memory("webhook", "down")
    senders: list[Sender] = [good, bad]
    state = advance(AlertState(), week(quiet, 0, judged(Verdict.FAIL)), now=NOW)
    state, deliveries = deliver(state, senders)
    assert [(d.sender, d.error) for d in deliveries] == [("console", ""), ("webhook", "down")]
    bad.error = ""
    state, deliveries = deliver(state, senders)
    assert [d.sender for d in deliveries] == ["webhook"]
    assert (len(good.taken), len(bad.taken), state.notices) == (1, 1, ())
    assert deliver(state, senders)[1] == ()


def test_the_state_is_plain_json(quiet: WindowReport) -> None:
    """What is kept is what was there."""
    state = advance(AlertState(), week(quiet, 0, judged(Verdict.FAIL)), now=NOW)
    assert msgspec.json.decode(msgspec.json.encode(state), type=AlertState) == state


def opened(quiet: WindowReport) -> Alert:
    """One open alert."""
    return advance(AlertState(), week(quiet, 0, judged(Verdict.FAIL)), now=NOW).open[0]


def test_the_webhook_speaks_alertmanager(quiet: WindowReport) -> None:
    """Version 4: what opened is firing and has no end, what is over is resolved."""
    bodies: list[dict[str, Any]] = []

    def take(request: httpx.Request) -> httpx.Response:
        bodies.append(msgspec.json.decode(request.content))
        return httpx.Response(200)

    alert = opened(quiet)
    over = msgspec.structs.replace(alert, resolved_at=NOW, resolved_window=alert.window)
    sender = WebhookSender("https://alerts.example/hook", transport=httpx.MockTransport(take))
    assert sender.send([alert, over]) == ""
    assert [body["status"] for body in bodies] == ["firing", "resolved"]
    assert {body["version"] for body in bodies} == {"4"}
    entry = bodies[0]["alerts"][0]
    assert entry["endsAt"] == "0001-01-01T00:00:00Z"
    assert entry["labels"]["alertname"] == "ObjectiveBroken"
    assert entry["fingerprint"] == alert.fingerprint
    assert all(isinstance(value, str) for value in entry["labels"].values())
    assert bodies[1]["alerts"][0]["endsAt"] == "2013-06-01T00:00:00Z"
    assert set(payload([alert])) >= {"receiver", "groupLabels", "commonLabels", "externalURL"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(302, headers={"Location": "https://elsewhere.example"}), "answered 302"),
        (httpx.Response(500), "answered 500"),
        (httpx.ConnectTimeout("slow"), "was not reached: ConnectTimeout"),
    ],
)
def test_a_webhook_that_fails_is_reported_and_no_redirect_followed(
    quiet: WindowReport, answer: httpx.Response | Exception, said: str
) -> None:
    """Neither the secret in the address nor an exception comes out."""
    asked = []

    def fail(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        if isinstance(answer, Exception):
            raise answer
        return answer

    sender = WebhookSender("https://a.example/secret", transport=httpx.MockTransport(fail))
    error = sender.send([opened(quiet)])
    assert said in error
    assert "secret" not in error
    assert len(asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://alerts.example/x",
        "ftp://a.example",
        "https://",
        "alerts",
        "http://127.0.0.1.evil.example",
    ],
)
def test_alerts_leave_the_machine_only_encrypted(url: str) -> None:
    """Anything but https, or http to this machine, is refused with the setting's name."""
    with pytest.raises(ConfigError, match="webhook"):
        check_address(url)


@pytest.mark.parametrize(
    "url", ["https://a.example/x", "http://127.0.0.1:9/x", "http://[::1]:9", "http://localhost/x"]
)
def test_https_and_this_machine_are_allowed(url: str) -> None:
    """The address comes back unchanged."""
    assert check_address(url) == url


def test_a_hostile_name_cannot_steer_the_terminal(quiet: WindowReport) -> None:
    """Control characters are replaced before a line is written."""
    lines: list[str] = []
    alert = msgspec.structs.replace(opened(quiet), moved=("x\x1b[2J\r",))
    assert ConsoleSender(lines.append).send([alert]) == ""
    assert "\x1b" not in lines[0]
    assert "\r" not in lines[0]


def test_a_closed_console_is_reported(quiet: WindowReport) -> None:
    """Not raised."""

    def closed(text: str) -> None:
        raise BrokenPipeError("closed")

    assert "closed" in ConsoleSender(closed).send([opened(quiet)])
