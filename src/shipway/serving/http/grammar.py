"""The head of a request, read by the letter of RFC 9110 and RFC 9112.

Two programs that read one head differently are what request smuggling is made of, so everything
that some programs forgive is refused here: bare line feeds, folded lines, blanks where none
belong, control characters, a length in two places. One pattern says what is well-formed, in one
pass without backtracking; what it does not match is looked at again only to say what is wrong.

Parsers in C (llhttp) were tried: they pass two spaces in the request line, other protocols'
versions, fragments and empty lines without number, and do not show the bytes in which one could
see it; calling back for each header, they also cost more than this.
"""

from __future__ import annotations

import re
from typing import NoReturn

from shipway.errors import MalformedRequest, TooLarge, UsageError
from shipway.serving.http.coding import Accepted, accepted
from shipway.serving.http.limits import Limits
from shipway.serving.http.responses import Refusal

METHODS = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"QUERY", b"TRACE"}
)
TIMEOUTS = (b"x-request-timeout-ms", b"x-envoy-expected-rq-timeout-ms")
"""A client's own deadline; the second is what Envoy, and so a service mesh, tells its upstream."""
CHUNKED = -1
_ONCE = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"host",
        b"inference-header-content-length",
        b"transfer-encoding",
        b"x-api-key",
        *TIMEOUTS,
    }
)
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_HEAD = re.compile(
    rb"(" + _TOKEN + rb"{1,32}+) "
    rb"([A-Za-z0-9\-._~:/?@!$&'()*+,;=%\[\]]++) "
    rb"HTTP/1\.([01])\r\n"
    rb"((?:" + _TOKEN + rb"++:[\t -~\x80-\xff]*+\r\n)*+)\r\n"
)
_FIELD = re.compile(_TOKEN + rb"++:[\t -~\x80-\xff]*+\r\n")
_LOOSE_LINE = re.compile(_TOKEN + rb"{1,32}+ [^ \t\r\n]++ HTTP/([0-9])\.([0-9])\r\n")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_BARE_CR = re.compile(rb"\r(?!\n|\Z)")
_TABBED = re.compile(rb"^(?:content-length|transfer-encoding):[^\n]*\t", re.I | re.M)
_PERCENT = re.compile(rb"(?:[^%]++|%[0-9A-Fa-f]{2})*+")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9\-._~!$&'()*+;=%]++)(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?]*+)(.*+)", re.IGNORECASE)
_NUMBER_DIGITS = 19
_NO_LINE = "the first line is not of the form `METHOD target HTTP/1.1`"
_METHOD_LENGTH = 32
_AROUND_TARGET = 64  # a method, blanks, a version


class Head:
    """One request's head; not changed once it is made, as a connection may meet it again.

    ``headers`` has lower-case names; a header that came more often has its values joined by
    commas; Content-Length is not among them. ``size`` is the length of the body, or CHUNKED;
    ``timeout_s`` the smaller of the server's and the client's; ``expects`` says that the client
    waits for a 100, ``special`` that an answer may not be a short one as it is. ``admitted`` is
    the application's, to remember what it made of the head.
    """

    __slots__ = (
        "_accepted",
        "admitted",
        "close",
        "expects",
        "head_only",
        "headers",
        "method",
        "size",
        "special",
        "target",
        "timeout_s",
    )

    def __init__(self, method: bytes, target: bytes, headers: dict[bytes, bytes]) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.head_only = method == b"HEAD"
        self.close = True
        self.size = 0
        self.expects = False
        self.timeout_s = float("inf")
        self.special = self.head_only
        self.admitted: object = None
        self._accepted: Accepted | None = None

    @property
    def accepted(self) -> Accepted:
        """Which coding the client likes its answer to have; read when that is first of interest."""
        if self._accepted is None:
            self._accepted = accepted(self.headers.get(b"accept-encoding"))
        return self._accepted


NO_HEAD = Head(b"", b"", {})
"""The head of what was not understood."""


def read_head(raw: bytes, limits: Limits) -> Head:
    """The head in *raw*, which ends with the empty line; raises Refusal if anything is amiss."""
    found = _HEAD.fullmatch(raw)
    if found is None:
        _explain(raw)
    method, target, minor, lines = found.groups()
    if len(target) > limits.max_target_bytes:
        raise target_too_long(limits)
    if lines.count(b"\n") > limits.max_headers:
        raise head_too_large(limits)
    headers = _headers(lines)
    if b"\t" in lines and _TABBED.search(lines):
        raise malformed("there is a tab in the header that says how long the body is")
    _check_host(headers, minor)
    head = Head(method, _path(method, target, headers), headers)
    head.size = _size(headers.pop(b"content-length", None), headers, minor, limits)
    connection = headers.get(b"connection")
    head.close = minor == b"0" or (
        connection is not None and connection != b"keep-alive" and b"close" in _listed(connection)
    )
    if b"expect" in headers and minor == b"1":
        head.expects = _expects(headers[b"expect"]) and head.size != 0
    head.timeout_s = _timeout_s(headers, limits)
    # Without weights, an answer as it is is as good as any.
    head.special = head.head_only or b";" in headers.get(b"accept-encoding", b"")
    return head


def check_part(part: bytearray, start: int, limits: Limits) -> None:
    """Refuse what no further bytes could make a head of; what is before *start* was checked."""
    since = max(0, start - 1)
    end = part.find(b"\r\n")
    if end >= since:
        _check_line(bytes(part[: end + 2]))
    fault = _bad_byte(part, since)
    if fault:
        raise malformed(fault)
    if end < 0:
        if len(part) > _METHOD_LENGTH and b" " not in part[: _METHOD_LENGTH + 1]:
            raise malformed(_NO_LINE)
        if len(part) > limits.max_target_bytes + _AROUND_TARGET:
            raise target_too_long(limits)
    if len(part) > limits.max_head_bytes:
        raise head_too_large(limits)


def is_field(line: bytes) -> bool:
    """Whether *line* is a well-formed header or trailer, its CR LF included."""
    return _FIELD.fullmatch(line) is not None


# ---- the parts of a head ----------------------------------------------------------------------


def _headers(lines: bytes) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for line in lines.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip()  # of blanks and tabs: there is nothing else
        if name in headers:
            if name in _ONCE:
                raise malformed(f"the header {name.decode()} came twice")
            value = b"%b, %b" % (headers[name], value)
        headers[name] = value
    return headers


def _check_host(headers: dict[bytes, bytes], minor: bytes) -> None:
    host = headers.get(b"host")
    if host is None:
        if minor == b"1":
            raise malformed("the header Host is missing")
    elif _HOST.fullmatch(host) is None:
        raise malformed("the header Host is not a name or address with an optional port")


def _path(method: bytes, target: bytes, headers: dict[bytes, bytes]) -> bytes:
    """The path and query of *target*, whichever of its forms it has (RFC 9112, 3.2)."""
    if method not in METHODS:
        error = UsageError(
            f"the method {method.decode()} is not known here", next_step="use GET or POST"
        )
        raise Refusal(error, status=501, close=True)
    if b"%" in target and _PERCENT.fullmatch(target) is None:
        raise malformed("the target has a % that two hexadecimal digits do not follow")
    if target.startswith(b"/"):
        return target
    if target == b"*":
        if method != b"OPTIONS":
            raise malformed("the target * is for OPTIONS alone")
        return target
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise malformed("the target is neither a path nor an http:// address")
    authority, path = found.groups()
    if _HOST.fullmatch(authority) is None:
        raise malformed("the target's host is not a name or address with an optional port")
    if headers.get(b"host", authority).lower() != authority.lower():
        raise malformed("the target names another host than the header Host")
    return path if path.startswith(b"/") else b"/" + path


def _size(length: bytes | None, headers: dict[bytes, bytes], minor: bytes, limits: Limits) -> int:
    """The size of the body (RFC 9112, 6.3)."""
    coding = headers.get(b"transfer-encoding")
    if coding is None:
        if length is None:
            return 0
        if not length.isdigit() or len(length) > _NUMBER_DIGITS:
            raise malformed("the Content-Length is not a number of bytes")
        size = int(length)
        if size > limits.max_body_bytes:
            raise body_too_large(limits)
        return size
    if length is not None:
        raise malformed("Content-Length and Transfer-Encoding came together")
    if minor == b"0":
        raise malformed("HTTP/1.0 has no Transfer-Encoding")
    if coding.lower() == b"chunked":
        return CHUNKED
    listed = [one.strip().lower() for one in coding.split(b",")]
    if listed[-1] != b"chunked" or listed.count(b"chunked") > 1 or b"" in listed:
        raise malformed("the last Transfer-Encoding must be chunked, and only that one")
    raise malformed("the only Transfer-Encoding here is chunked", status=501)


def _expects(value: bytes) -> bool:
    if value.lower() == b"100-continue":
        return True
    error = UsageError(
        "the only expectation met here is 100-continue", next_step="leave the header Expect out"
    )
    raise Refusal(error, status=417, close=True)


def _timeout_s(headers: dict[bytes, bytes], limits: Limits) -> float:
    timeout_s = limits.request_timeout_s
    for name in TIMEOUTS:
        text = headers.get(name)
        if text is None:
            continue
        if not text.isdigit() or len(text) > 10 or not int(text):
            raise malformed(f"the header {name.decode()} is not a number of milliseconds above 0")
        timeout_s = min(timeout_s, int(text) / 1000)
    return timeout_s


def _listed(value: bytes) -> list[bytes]:
    return [one.strip(b" \t").lower() for one in value.split(b",")]


# ---- what is refused --------------------------------------------------------------------------


def _explain(raw: bytes) -> NoReturn:
    """Raise the refusal that says what is wrong with *raw*, a whole head."""
    line, _, rest = raw.partition(b"\r\n")
    _check_line(line + b"\r\n")
    fault = _bad_byte(raw, 0) or next(filter(None, map(_fault, rest.split(b"\r\n"))), "")
    if fault:
        raise malformed(fault)
    raise malformed("the target has a character that must be percent-encoded")


def _check_line(line: bytes) -> None:
    """Refuse a first *line* that is not that of an HTTP/1.1 request, its target apart."""
    fault = _bad_byte(line, 0)
    if fault:
        raise malformed(fault)
    found = _LOOSE_LINE.fullmatch(line)
    if found is None:
        if re.fullmatch(rb"[A-Z]+ [!-~]+\r\n", line):
            raise malformed("HTTP/0.9 is not spoken here", status=505)
        raise malformed(_NO_LINE)
    version = f"{found[1].decode()}.{found[2].decode()}"
    if version not in {"1.0", "1.1"}:
        raise malformed(f"HTTP/{version} is not spoken here", status=505)


def _bad_byte(part: bytes | bytearray, since: int) -> str:
    """What is wrong with the bytes of *part* from *since* on; "" if nothing is."""
    if _CONTROL.search(part, since):
        return "there is a control character in the head"
    if _BARE_LF.search(part, since):
        return "a line ends with LF alone, not with CR LF"
    if _BARE_CR.search(part, since):
        return "there is a CR that no LF follows"
    return ""


def _fault(line: bytes) -> str:
    """What is wrong with one header line."""
    if line.startswith((b" ", b"\t")):
        return "a header is folded over two lines, or begins with a blank"
    name, colon, _ = line.partition(b":")
    if not line or (name and colon and is_field(line + b"\r\n")):
        return ""
    if not colon:
        return "there is a header line without a colon"
    if name.endswith((b" ", b"\t")):
        return "there is a blank before a header's colon"
    return "the name of a header is not a word"


def malformed(message: str, *, status: int = 400) -> Refusal:
    """The refusal of bytes that are not HTTP as it should be; the connection ends with it."""
    error = MalformedRequest(message, next_step="send well-formed HTTP/1.1 (RFC 9112)")
    return Refusal(error, status=status, close=True)


def target_too_long(limits: Limits) -> Refusal:
    """The refusal of a request line without end."""
    error = TooLarge(
        f"the request target is longer than {limits.max_target_bytes} bytes",
        next_step="send data in the body of a POST, or raise serve.max_target_bytes",
    )
    return Refusal(error, status=414, close=True)


def head_too_large(limits: Limits) -> Refusal:
    """The refusal of too many or too long headers, trailers and chunk extensions."""
    error = TooLarge(
        f"the headers are over {limits.max_head_bytes} bytes or {limits.max_headers} lines",
        next_step="send fewer or shorter ones, or raise serve.max_head_bytes or serve.max_headers",
    )
    return Refusal(error, status=431, close=True)


def body_too_large(limits: Limits) -> Refusal:
    """The refusal of a body above the cap, packed or unpacked."""
    error = TooLarge(
        f"the body is larger than {limits.max_body_bytes} bytes",
        next_step="send fewer rows a request, or raise serve.max_body_bytes",
    )
    return Refusal(error, close=True)
