"""Answers that come late, packed, from elsewhere or not at all, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import uvloop

from shipway.serving.http.connection import Connection, Shared
from shipway.serving.http.exchange import Exchange
from shipway.serving.http.limits import Limits
from shipway.serving.http.responses import Refusal, Responder

PAGE = bytes(20_000)
LARGE = b"[" + b"0.25, " * 500_000 + b"1]"


@dataclass
class Echo:
    """Answers by what is asked: ``/now``, ``/page``, ``/large``, ``/twice``; others never."""

    asked: list[Exchange] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    def admit(self, exchange: Exchange) -> None:
        """Everybody may ask."""

    def handle(self, exchange: Exchange, body: bytes | bytearray) -> None:
        self.asked.append(exchange)
        match exchange.target:
            case b"/now":
                exchange.answer_json(b'"now"')
            case b"/page":
                exchange.answer_json(PAGE)
            case b"/large":
                exchange.answer_json(LARGE)
            case b"/twice":
                exchange.answer_json(b'"first"')
                exchange.answer(500, b'"second"')

    def count_refused(self, refusal: Refusal) -> None:
        self.refused.append(refusal.status)


@dataclass
class Site:
    """Connections to an echo: the parts of a worker without its models."""

    echo: Echo
    shared: Shared
    port: int
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 26)
        self.writers.append(writer)
        return reader, writer

    async def asked(self, count: int) -> None:
        """Wait until the application has been asked *count* times."""
        await self.until(lambda: len(self.echo.asked) >= count)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until *condition* holds, and let deadlines pass meanwhile."""
        for _ in range(2000):
            if condition():
                return
            await asyncio.sleep(0.005)
            for connection in list(self.shared.connections):
                if self.shared.clock() >= connection.deadline:
                    connection.expire()
        raise AssertionError("it never came to be")


def visit(story: Callable[[Site], Awaitable[None]], limits: Limits | None = None) -> None:
    """Run *story* at a site of its own."""

    async def life() -> None:
        loop = asyncio.get_running_loop()
        responder = Responder()
        responder.tick(0.0)
        echo = Echo()
        shared = Shared(echo, limits or Limits(), responder, loop.time)
        server = await loop.create_server(lambda: Connection(shared), "127.0.0.1", 0)
        site = Site(echo, shared, server.sockets[0].getsockname()[1])
        try:
            await story(site)
        finally:
            server.close()
            for writer in site.writers:
                writer.close()
            for connection in list(shared.connections):
                connection.abort()
            await server.wait_closed()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(life())


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode()


async def reply(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """Status, head and body of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
    return int(head[9:12]), head, await reader.readexactly(length)


@pytest.mark.parametrize(
    ("coding", "bits"), [("gzip", 31), ("deflate", 15), ("identity;q=0, gzip", 31)]
)
def test_packed_answers(coding: str, bits: int) -> None:
    """A large answer is packed as the client likes it, and says so; a small one as it must be."""

    async def story(site: Site) -> None:
        reader, writer = await site.open()
        writer.write(get("/large", f"Accept-Encoding: {coding}") + get("/now"))
        _, head, body = await reply(reader)
        assert zlib.decompress(body, bits) == LARGE
        assert f"Content-Encoding: {coding.rsplit(maxsplit=1)[-1]}".encode() in head
        assert b"\r\nVary: Accept-Encoding\r\n" in head
        assert (await reply(reader))[2] == b'"now"'
        writer.write(get("/now", f"Accept-Encoding: {coding}"))
        _, head, body = await reply(reader)
        assert (b"Content-Encoding" in head) == ("q=0" in coding)
        writer.write(get("/large"))
        _, head, body = await reply(reader)
        assert b"Content-Encoding" not in head
        assert b"\r\nVary: Accept-Encoding\r\n" in head
        assert body == LARGE

    visit(story)


def test_packing_lets_others_through() -> None:
    """A large answer is packed in several turns of the loop, so that others have theirs."""

    async def story(site: Site) -> None:
        reader, writer = await site.open()
        writer.write(get("/later", "Accept-Encoding: gzip"))
        await site.until(lambda: site.echo.asked)
        later, turns = site.echo.asked[0], 0
        later.answer_json(LARGE)
        while later.response is None:
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 5
        assert gzip.decompress((await reply(reader))[2]) == LARGE

    visit(story)


def test_answered_from_elsewhere() -> None:
    """An answer may come later, from what another thread found, and stays in its turn."""

    async def story(site: Site) -> None:
        reader, writer = await site.open()
        writer.write(get("/later") + get("/now"))
        await site.until(lambda: len(site.echo.asked) == 2)
        later, loop = site.echo.asked[0], asyncio.get_running_loop()
        thread = threading.Thread(
            target=lambda: loop.call_soon_threadsafe(later.answer_json, b'"later"')
        )
        thread.start()
        assert [(await reply(reader))[2] for _ in range(2)] == [b'"later"', b'"now"']
        thread.join()

    visit(story)


def test_only_the_first_answer_counts() -> None:
    """A second answer to the same request is dropped, also while the first waits for its turn."""

    async def story(site: Site) -> None:
        reader, writer = await site.open()
        writer.write(get("/later") + get("/twice") + get("/now"))
        await site.until(lambda: len(site.echo.asked) == 3)
        site.echo.asked[0].answer_json(b'"later"')
        told = [(await reply(reader))[2] for _ in range(3)]
        assert told == [b'"later"', b'"first"', b'"now"']

    visit(story)


@pytest.mark.parametrize("name", ["X-Request-Timeout-Ms", "x-envoy-expected-rq-timeout-ms"])
def test_late_answers(name: str) -> None:
    """A client's own deadline holds: 504 at its end, whatever the application does afterwards."""

    async def story(site: Site) -> None:
        reader, writer = await site.open()
        writer.write(get("/never", f"{name}: 50") + get("/now"))
        await site.until(lambda: site.echo.refused)
        status, _, body = await reply(reader)
        assert (status, site.echo.refused) == (504, [504])
        assert b"limit.deadline" in body
        site.echo.asked[0].answer_json(b'"too late"')
        assert (await reply(reader))[2] == b'"now"'

    visit(story)


def test_the_smaller_deadline_holds() -> None:
    """A client may ask for less time than the server gives, and not for more."""

    async def story(site: Site) -> None:
        reader, writer = await site.open()
        for text in ("2500", "3600000"):
            writer.write(get("/now", f"X-Request-Timeout-Ms: {text}"))
            await reply(reader)
        writer.write(get("/now"))
        await reply(reader)
        given = [one.deadline - one.started for one in site.echo.asked]
        assert given == pytest.approx([2.5, 7.0, 7.0])

    visit(story, Limits(request_timeout_s=7.0))


def test_draining_answers_all_that_was_asked() -> None:
    """While a server drains, only the last of several pipelined answers ends the connection."""

    async def story(site: Site) -> None:
        site.shared.responder.closing = True
        reader, writer = await site.open()
        writer.write(get("/later") + get("/now") + get("/now"))
        await site.until(lambda: len(site.echo.asked) == 3)
        site.echo.asked[0].answer_json(b'"later"')
        heads = [(await reply(reader))[1] for _ in range(3)]
        assert [b"Connection: close" in head for head in heads] == [False, False, True]
        assert await reader.read() == b""

    visit(story)


def test_shutting_a_side_is_not_leaving() -> None:
    """A client that shuts its side with its request gets its answer."""

    async def story(site: Site) -> None:
        reader, writer = await site.open()
        writer.write(get("/later"))
        writer.write_eof()
        await site.until(lambda: site.echo.asked)
        await site.until(lambda: not writer.transport.get_write_buffer_size())
        await asyncio.sleep(0)
        assert not site.echo.asked[0].abandoned
        site.echo.asked[0].answer_json(b'"here"')
        assert (await reply(reader))[2] == b'"here"'
        assert await reader.read() == b""

    visit(story)


@pytest.mark.parametrize("how", ["reset", "closed"])
def test_leaving(how: str) -> None:
    """A client that has hung up is known to have left, and nothing is kept for it."""

    async def story(site: Site) -> None:
        _, writer = await site.open()
        writer.write(get("/never"))
        await site.until(lambda: site.echo.asked)
        asked = site.echo.asked[0]
        asked.received -= 1.0  # as if it had waited a second already
        if how == "reset":
            writer.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )
        writer.close()
        await site.until(lambda: asked.abandoned)
        assert not site.shared.connections
        asked.answer_json(b'"nobody"')

    visit(story)


def test_what_one_connection_may_have_under_way() -> None:
    """No more requests are read from a connection than may wait for their answers."""

    async def story(site: Site) -> None:
        reader, writer = await site.open()
        writer.write(get("/later") * 100)
        await site.until(lambda: len(site.echo.asked) == 10)
        await site.until(lambda: site.shared.clock() > site.echo.asked[-1].started + 0.02)
        assert len(site.echo.asked) == 10
        for at in range(100):
            await site.asked(at + 1)
            site.echo.asked[at].answer_json(b"1")
        assert [(await reply(reader))[2] for _ in range(100)] == [b"1"] * 100

    visit(story, Limits(max_pipelined=10))


def test_what_waits_to_be_read() -> None:
    """A client that does not read has no more than a mebibyte of answers made for it."""

    async def story(site: Site) -> None:
        reader, writer = await site.open()
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(get("/page") * 10_000)
        while len(site.echo.asked) < 10_000:
            answered = len(site.echo.asked)
            await asyncio.sleep(0.02)
            if answered == len(site.echo.asked):
                break
        (connection,) = site.shared.connections
        held = connection._transport.get_write_buffer_size()  # type: ignore[union-attr]
        assert len(site.echo.asked) < 10_000
        assert held < 1 << 20

    visit(story)


def test_slow_bodies() -> None:
    """A body that comes at less than the least rate is a 408 that names the setting."""

    async def story(site: Site) -> None:
        reader, writer = await site.open()
        writer.write(b"POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n" + bytes(100))
        await site.until(lambda: site.echo.refused)
        status, _, body = await reply(reader)
        assert status == 408
        assert b"serve.min_receive_rate" in body

    visit(story, Limits(receive_grace_s=0.05, min_receive_rate=1_000_000))


def test_bodies_share_the_room() -> None:
    """Bodies that come in together have a bound: the one too many is a 503, the others go on."""

    async def story(site: Site) -> None:
        (reader, one), (other, two) = await site.open(), await site.open()
        head = b"POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"
        one.write(head + bytes(150_000))
        await site.until(lambda: site.shared.room.taken == 150_000)
        two.write(head + bytes(150_000))
        status, told, body = await reply(other)
        assert (status, b"\r\nRetry-After: 1\r\n" in told) == (503, True)
        assert b"serve.max_receiving_bytes" in body
        one.write(bytes(50_000))
        assert (await reply(reader))[0] == 200
        one.write(head + bytes(150_000))
        one.close()
        await site.until(lambda: not site.shared.room.taken)
        reader, alone = await site.open()
        alone.write(head.replace(b"200000", b"900000") + bytes(900_000))
        assert (await reply(reader))[0] == 200

    visit(story, Limits(max_receiving_bytes=250_000))


def test_work_is_shared_between_connections() -> None:
    """Thousands of requests in one segment do not make another connection wait for them all."""

    async def story(site: Site) -> None:
        reader, writer = await site.open()
        other, asking = await site.open()
        writer.write(get("/now") * 3000)
        asking.write(get("/other"))
        await site.until(lambda: any(one.target == b"/other" for one in site.echo.asked))
        at = next(n for n, one in enumerate(site.echo.asked) if one.target == b"/other")
        assert at < 2000
        site.echo.asked[at].answer_json(b'"other"')
        assert (await reply(other))[2] == b'"other"'
        for _ in range(3000):
            assert (await reply(reader))[0] == 200

    visit(story)


def test_no_certificate_without_tls() -> None:
    """A connection without TLS has no certificate."""

    async def story(site: Site) -> None:
        reader, writer = await site.open()
        writer.write(get("/now"))
        await reply(reader)
        assert site.echo.asked[0].channel.certificate is None

    visit(story)
