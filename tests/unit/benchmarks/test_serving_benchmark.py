"""What the serving benchmark makes of the figures that it is given."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from benchmarks.serving import bars, plot, report, unguarded
from benchmarks.serving.faults import Unmeasured
from benchmarks.serving.kinds import Kind, Table
from benchmarks.serving.lineup import PEERS, SHIPWAY
from benchmarks.serving.load import read_h2load, read_wrk
from benchmarks.serving.results import Facts, Measured, Results

WRK = """Running 1s test @ http://127.0.0.1:8000/
  1 threads and 32 connections
  Latency Distribution
     50%  850.00us
     75%    1.10ms
     90%    2.00ms
     99%    1.20s{space}
  22672 requests in 1.00s, 4.10MB read
Requests/sec:  22650.11
""".replace("{space}", " ")  # wrk fills up to the width of "ms"
H2LOAD = """finished in 2.00s, 1900.50 req/s, 400.00KB/s
requests: 3801 total, 3833 started, 3801 done, 3801 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 3801 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 800.00KB (819200) total, 100.00KB (102400) headers (space savings 90%), {data} data
"""


def measured(server: str, rate: float, reason: str = "") -> Measured:
    return Measured(server=server, case=bars.BUSY, per_second=rate, reason=reason)


class TestReadingWrk:
    def test_rate_and_quantiles_are_read_in_any_unit(self) -> None:
        """Microseconds, milliseconds and seconds all become milliseconds."""
        loaded = read_wrk(WRK)
        assert (loaded.per_second, loaded.p50_ms, loaded.p99_ms) == (22650.11, 0.85, 1200.0)

    @pytest.mark.parametrize(
        "line", ["  Non-2xx or 3xx responses: 3", "  Socket errors: connect 0, read 1, write 0"]
    )
    def test_failed_answers_are_no_figure(self, line: str) -> None:
        """A server that refuses quickly is not a fast one."""
        with pytest.raises(Unmeasured, match="answers failed"):
            read_wrk(WRK + line + "\n")

    def test_no_answer_is_no_figure(self) -> None:
        """A server that answered nothing has no quantiles either."""
        with pytest.raises(Unmeasured, match="nothing"):
            read_wrk(WRK.replace("22650.11", "0.00"))


class TestReadingH2load:
    def test_quantiles_come_from_the_log_of_requests(self) -> None:
        """h2load tells none itself."""
        log = "".join(f"1700000000000000\t200\t{1000 * n}\n" for n in range(1, 102))
        loaded = read_h2load(H2LOAD.format(data="100.00KB (102400)"), log)
        assert (loaded.per_second, loaded.p50_ms, loaded.p99_ms) == (1900.5, 51.0, 100.0)

    def test_answers_without_a_message_are_no_figure(self) -> None:
        """A gRPC call that failed has HTTP's status 200 and carries no message."""
        with pytest.raises(Unmeasured, match="answers failed"):
            read_h2load(H2LOAD.format(data="0B (0)"), "")


class TestBars:
    def test_a_bar_without_its_peer_is_left_out(self) -> None:
        """A peer that is absent or fails costs its own bars and no others."""
        rows = [measured(SHIPWAY, 20_000), measured("mosec", 10_000), measured("fastapi", 0, "no")]
        told = bars.document(Results(machine="", measured=rows))
        assert told == {
            "1 row x 32 connections, times mosec": {"value": 2.0, "bar": 1.4, "better": "higher"}
        }

    def test_guards_cost_is_the_share_of_speed_that_they_take(self) -> None:
        """With guards 80, without 100: a fifth."""
        told = bars.document(Results(machine="", guards=(80.0, 100.0)))
        assert told["guards, share of speed"]["value"] == 0.2

    def test_every_need_names_a_server_that_runs(self) -> None:
        """A quick run measures what the bars need, so a name that is wrong measures nothing."""
        known = {SHIPWAY, *(peer.name for peer in PEERS)}
        assert {server for server, _ in bars.needed()} <= known


class TestShowing:
    def test_the_picture_is_xml_that_tells_the_figures_in_words(self) -> None:
        """Who cannot see it reads the same figures."""
        results = Results(machine="", measured=[measured("a<b", 1234), measured(SHIPWAY, 56_789)])
        picture = ET.fromstring(plot.drawn(results))  # noqa: S314 - ours
        words = picture.findtext("{http://www.w3.org/2000/svg}desc", "")
        assert "Shipway 56,789" in words
        assert "A<b 1,234" in words

    def test_a_run_without_figures_has_tables_and_a_picture(self) -> None:
        """All peers may be away."""
        empty = Results(machine="", measured=[measured("mosec", 0, "not installed")])
        facts = Facts(server=SHIPWAY, kind=Kind.NUMERIC, memory_mb=1, worker_mb=1, first_answer_s=1)
        assert "Nothing was measured" in plot.drawn(empty)
        assert len(list(report.tables(Results(machine="", facts=[facts])))) == 2


class TestUnguarded:
    def test_each_part_replaces_one_that_is_there(self) -> None:
        """A part of the worker that is renamed stops the comparison instead of guarding it."""
        for module, name, replacement in unguarded.EXCHANGED:
            assert issubclass(replacement, getattr(module, name))

    def test_nothing_of_a_counter_is_left(self) -> None:
        """What the worker calls of one that is exchanged must not meet what it was made from."""
        for stub in (unguarded._Nothing, unguarded._Nowhere):
            (made_from,) = stub.__bases__
            called = {name for name in vars(made_from) if not name.startswith("_")}
            assert called <= vars(stub).keys()


class TestTables:
    def test_other_servers_are_asked_for_features_only(self) -> None:
        """The time column is Shipway's business."""
        table = Table(
            columns={"a": [1.0], "at": ["2013-01-01"]},
            datatypes={"a": "FP64", "at": "BYTES"},
            matrix=False,
            context={"at"},
        )
        assert list(table.bare().columns) == ["a"]
