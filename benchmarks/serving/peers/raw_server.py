"""The limit of Python: an asyncio protocol on httptools and uvloop that answers the same always.

It reads a whole request and neither decodes it nor has a model. Nothing in Python is faster.
"""

from __future__ import annotations

import asyncio
import sys

import httptools
import uvloop

_BODY = b'{"scores":[0.5]}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_BODY),
    _BODY,
)


class Connection(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Answer."""
        self._transport.write(_ANSWER)  # type: ignore[attr-defined]  # a transport of a socket


async def main(port: int) -> None:
    """Serve until ended."""
    server = await asyncio.get_running_loop().create_server(
        Connection, "127.0.0.1", port, backlog=512
    )
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[3])))
