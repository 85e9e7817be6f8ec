"""Requests to all ports as bytes: valid ones, broken in a few places."""

from __future__ import annotations

import json
import math
import re
import select
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from typing import Any
from urllib.parse import urlsplit

from msgspec.structs import asdict

from events.messages import Policy
from tests.fuzz.finding import FoundError
from tests.fuzz.mutations import TEXTS, Mutator

THREADS = 16
PATIENCE_SECONDS = 35.0
"""For the end of an answer; a port gives up a request that does not come after half of it."""

WAIT_SECONDS = 0.15
"""For the beginning of an answer, before the port is told that nothing more comes."""

PAUSE_SECONDS = 0.02
"""Between two answers on a connection."""

READ_MAX = 1_000_000
"""Bytes of an answer that are looked at."""

NEVER = {500, 502, 504}
"""No answer of Cerrojo's, to anything."""

KNOWN_HEADERS = {
    *("content-type", "content-length", "date", "server", "connection", "transfer-encoding"),
    *("cache-control", "vary", "etag", "content-encoding"),
    *("retry-after", "allow", "www-authenticate", "link", "set-cookie"),
    *(
        "x-cerrojo-user",
        "x-request-id",
        "content-security-policy",
        "x-content-type-options",
        "referrer-policy",
    ),
    *("cross-origin-resource-policy", "cross-origin-opener-policy", "x-frame-options"),
}
"""Of answers; any other one is a request's bytes where an answer's head should be."""

EVENTS = b"\r\ncontent-type: text/event-stream\r\n"
"""In the head of an answer that has no end."""

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")

PATHS = {
    "login": (
        *("POST /login", "POST /register", "POST /password", "POST /attempts", "POST /logout"),
        *("GET /attempts/anna/block", "GET /session", "GET /.well-known/jwks.json"),
        *("GET /healthz", "GET /startz", "GET /"),
    ),
    "operator": (
        *("GET /blocked", "GET /blocked/anna", "DELETE /blocked/anna", "POST /blocked/anna"),
        *("DELETE /blocked", "DELETE /accounts/anna/devices", "POST /accounts"),
        *("GET /accounts/anna", "PUT /accounts/anna/password", "PATCH /accounts/anna"),
        *(
            "DELETE /accounts/anna",
            "GET /attempts?user=anna&limit=5",
            "GET /blocked?limit=2&after=a",
            "GET /blocked?details=1&text=an&reason=in&since=2026-11-28&limit=2",
            "GET /attempts?source=192.0.2.7&verdict=blocked&from=2026-11-28T09:00:00Z&limit=5",
            "GET /attempts?day=2026-11-28&after=k88AAAGdC-ZdAAER",
            *("GET /policy", "PUT /policy", "GET /attacks", "GET /live"),
            *("GET /operator", "POST /session", "DELETE /session"),
            "GET /policy/history?limit=2",
        ),
        *("GET /healthz", "GET /startz", "GET /readyz", "GET /metrics", "GET /openapi.json"),
        *("GET /", "GET /docs"),
        "GET /static/console.js",
    ),
    "workers": ("GET /metrics", "GET /healthz", "GET /readyz", "GET /"),
}

BODIES: tuple[dict[str, Any], ...] = (
    {"user": "anna", "pass": "a wrong password"},
    {"user": "anna", "pass": "a wrong password", "new": "a good password"},
    {"user": "anna", "outcome": "wrong", "source": "192.0.2.7", "user_agent": "a browser"},
    {"pass": "a good password"},
    {"disabled": True},
    {"users": ["anna", "bob"], "reason": "a reason"},
    {"seconds": 60, "reason": "a reason"},
    {"policy": asdict(Policy()), "reason": "a reason"},  # of version 0, which never is in force
    {"token": "none"},
)

METHODS = (
    *("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PRI"),
    *("get", "post", "PROPFIND", "G" * 300, "", "GE T", "\x00", "POST\t", "M-SEARCH"),
)

TARGETS = (
    *(
        "*",
        "",
        "/",
        "//",
        "//login",
        "//attempts",
        "///blocked",
        "/%00",
        "/%ff",
        "/%",
        "/%zz",
        "/..%2f..%2f",
        "/a b",
        "/\xff\xfe",
        "/#x",
    ),
    *(
        "http://evil.example/login",
        "http://[::1",
        "https://",
        "evil.example:443",
        "/?" + "a&" * 900,
    ),
    *("/static/%2e%2e/app.py", "/static/" + "a" * 3_000, "/blocked/%F0%9F%98%80", "/\x7f", "/\t"),
)

HEADERS = (
    *("Content-Length: 0", "Content-Length: -1", "Content-Length: 18446744073709551616"),
    *("Content-Length: 5, 5", "Content-Length: +5", "Content-Length: 0x5", "Content-Length:"),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: x"),
    *("Transfer-Encoding : chunked", "Transfer-Encoding: \x0bchunked", "TE: trailers"),
    *(
        "Host: evil.example",
        "Host:",
        "Host: a b",
        "Host: [::1",
        "Host: localhost:99999",
        *(
            "Host: \xff",
            "Host: " + "a" * 64,
            "Host: .localhost",
            "Host: a..localhost",
            "Host: [::1].x",
        ),
    ),
    *("Expect: 100-continue", "Expect: what", "Upgrade: websocket", "Upgrade: h2c"),
    *("Connection: close", "Connection: Upgrade, HTTP2-Settings", "Connection: keep-alive, x"),
    *("Content-Type: application/json; charset=utf-16", "Content-Type: \xff", "Content-Type: ;"),
    *("Content-Type: multipart/form-data; boundary=", "Content-Encoding: gzip"),
    *("Authorization: Bearer ", "Authorization: Bearer \xff\xfe", "Authorization: Basic Og=="),
    *("Authorization: Bearer eyJhbGciOiJub25lIn0.e30.", "Authorization: Bearer a.b.c"),
    *(
        "Cookie: __Host-cerrojo=eyJhbGciOiJFZERTQSJ9.e30.AA",
        "Cookie: ;;=;\xff",
        "Cookie: " + "a=b;" * 900,
    ),
    *(
        "Idempotency-Key: k",
        "Idempotency-Key: \xff",
        'X-Forwarded-For: 1.2.3.4, "',
        'Forwarded: for="[',
    ),
    *(
        "Accept: */*;q=abc",
        "Accept: text/event-stream",
        "Accept-Encoding: ,,",
        'If-None-Match: "',
        "Range: bytes=9-1",
        "Origin: null",
    ),
    *("Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: \xff", "User-Agent: " + "\xff" * 600),
    *(
        "X-A: \x00",
        "X-A: a\x0bb",
        "X-A: b\r\n folded: c",
        "\x00: a",
        ": a",
        "a",
        "X(A): b",
        "X" * 9_000,
    ),
)

OTHERS = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c\xc0\x00\x02\x01",
    b"GET /\r\n",
    b"\r\n" * 200,
    bytes(300),
    b"\x00\x00\x00\x17\x00\x03\x00\x00",
)
"""What is no HTTP at all."""

_RAW = (b"\r\n", b"\n", b"\r", b"\0", b"\xff\xfe", b"\r\n\r\n", b" ", b":", b"%00", b'{"a":' * 300)
_JSON_ATOMS = (
    *(b"null", b"true", b"-0", b"1e999", b"NaN", b"9" * 4_000, b"[" * 3_000, b'{"a":' * 2_000),
    *(b'"\\ud800"', b'"\\u0000"', b'"\xff"', b'"\xed\xa0\x80"', b'"' + b"\\u0344" * 900 + b'"'),
)


class Requests:
    """Makes requests, by a generator with a seed."""

    def __init__(self, seed: int | str, tokens: Sequence[str]) -> None:
        """``tokens`` are those of some services and operators."""
        self._mutator = Mutator(seed)
        self._random = self._mutator.random
        self._tokens = tuple(f"Authorization: Bearer {token}" for token in tokens)

    def one(self, port: str) -> bytes:
        """The bytes for one connection: a request, several of them, or none at all."""
        random = self._random
        if random.random() < 0.03:
            data = random.choice((*OTHERS, random.randbytes(random.randint(1, 400))))
        else:
            data = b"".join(self._request(port) for _ in range(random.choice((1, 1, 1, 1, 2, 4))))
        if random.random() < 0.3:
            data = self._mutator.bytes(data, _RAW)
        return data

    def _request(self, port: str) -> bytes:
        random = self._random
        method, _, target = random.choice(PATHS[port]).partition(" ")
        if random.random() < 0.1:
            method = random.choice(METHODS)
        if random.random() < 0.15:
            target = random.choice((random.choice(TARGETS), target + random.choice(TARGETS)))
        elif random.random() < 0.1:
            target = target.replace("anna", quoted(random.choice(TEXTS)))
        body = self._body() if method not in ("GET", "HEAD") or random.random() < 0.05 else b""
        lines = ["Host: localhost"] if random.random() < 0.97 else []
        if random.random() < 0.9:
            lines.append("Content-Type: application/json")
        if random.random() < 0.3 and self._tokens:
            lines.append(random.choice(self._tokens))
        if random.random() < 0.15:
            lines.append("Transfer-Encoding: chunked")
            body = self._chunked(body)
        elif body or random.random() < 0.3:
            lines.append(f"Content-Length: {len(body)}")
        for _ in range(random.choice((0, 0, 1, 1, 2, 5))):
            lines.insert(random.randrange(len(lines) + 1), random.choice(HEADERS))
        version = (
            "HTTP/1.1"
            if random.random() < 0.95
            else random.choice(
                ("HTTP/1.0", "HTTP/2", "HTTP/0.9", "HTTP/1.1 ", "http/1.1", "HTTP/11", "")
            )
        )
        head = "\r\n".join((f"{method} {target} {version}", *lines, "", ""))
        return head.encode("latin-1", "replace") + body

    def _body(self) -> bytes:
        random = self._random
        body = dict(random.choice(BODIES))
        for _ in range(random.choice((0, 0, 1, 2))):
            key = random.choice((*body, "more", ""))
            value = self._mutator.atom()
            body[key] = value if isinstance(value, str | int | bool | None) else [1.5, {}]
        data = json.dumps(body, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
        if random.random() < 0.2:
            found = [match.span() for match in re.finditer(rb'"[^"]*"|true|\d+', data)]
            start, end = random.choice(found or [(0, 0)])
            data = data[:start] + random.choice(_JSON_ATOMS) + data[end:]
        if random.random() < 0.1:
            data = self._mutator.bytes(data, _RAW)
        return data + b" " * 17_000 if random.random() < 0.01 else data

    def _chunked(self, body: bytes) -> bytes:
        random = self._random
        size = random.choice((b"%x", b"%X", b"0%x", b"%x;a=b", b"%x ", b"-%x", b"%xg", b"+%x"))
        end = random.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"", b"0\r\n", b"0"))
        half = random.randrange(len(body) + 1)
        parts = (part for part in (body[:half], body[half:]) if part)
        return b"".join((size % len(part)) + b"\r\n" + part + b"\r\n" for part in parts) + end


def quoted(text: str) -> str:
    """Text as a path has it."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def exchange(url: str, data: bytes, source: str | None = None) -> bytes:
    """Send this from an address; all that comes back until the other end closes.

    Raises TimeoutError where it does not close.
    """
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    with socket.create_connection(
        (address.hostname, address.port), PATIENCE_SECONDS, (source, 0) if source else None
    ) as connection:
        received = bytearray()
        # A port in TIME_WAIT for each of so many connections would leave none for the next.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(ConnectionError, BrokenPipeError):
            connection.sendall(data)
        with suppress(ConnectionError):
            # A client that says at once that it sends no more is taken for one that leaves, and
            # its request is dropped before anything looks deep into it.
            while select.select([connection], [], [], PAUSE_SECONDS if received else WAIT_SECONDS)[
                0
            ]:
                if not (some := connection.recv(65_536)):
                    return bytes(received)
                received += some
            with suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_WR)
            # Events go on for an hour where a request sent behind hides that nothing comes.
            while len(received) < READ_MAX and EVENTS not in received:
                if not (some := connection.recv(65_536)):
                    break
                received += some
        return bytes(received)


def judge(port: str, sent: bytes, answer: bytes) -> int:
    """The first status of an answer; 0 where the connection was closed without one.

    Raises :class:`FoundError` where the answer is none of Cerrojo's.
    """
    if not answer:
        return 0
    first = _STATUS.match(answer)
    if first is None:
        if port == "workers" and answer.startswith((b"{", b"#")):
            return 400  # to HTTP/0.9, which has no head
        raise FoundError(port, [sent], f"no HTTP came back: {answer[:200]!r}")
    for status in map(int, _STATUS.findall(answer)):
        if status in NEVER:
            raise FoundError(port, [sent], f"the answer was {status}: {answer[-300:]!r}")
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    for line in head:
        name = line.partition(":")[0].lower()
        if name not in KNOWN_HEADERS:
            raise FoundError(port, [sent], f"the answer has a header of the request's: {line!r}")
    return int(first[1])


def run(
    urls: Mapping[str, str],
    seed: int,
    count: int,
    tokens: Sequence[str],
    told: Callable[[int], None] = lambda _: None,
) -> Counter[str]:
    """Send so many inputs to the ports, by name; how often each status was the first answer.

    `told` gets how many there were since it was last called. Raises :class:`FoundError`.
    """
    statuses: Counter[str] = Counter()
    work = list(_shares(urls, seed, count, tokens))

    def send_all(share: tuple[str, Requests, Random, int]) -> None:
        port, requests, random, times = share
        for _ in range(times):
            data = requests.one(port)
            # Many addresses: what one may do in a while is limited.
            source = (
                f"127.{random.randint(1, 60)}.{random.randint(0, 250)}.{random.randint(1, 250)}"
            )
            statuses[f"{port} {try_one(port, urls[port], data, source)}"] += 1
            told(1)

    with ThreadPoolExecutor(THREADS) as threads:
        for done in [threads.submit(send_all, share) for share in work]:
            done.result()
    return statuses


def try_one(port: str, url: str, data: bytes, source: str | None = None) -> int:
    """The first status that this gets there. Raises :class:`FoundError`."""
    try:
        return judge(port, data, exchange(url, data, source))
    except TimeoutError:
        raise FoundError(
            port, [data], f"no end of the answer within {PATIENCE_SECONDS:g} s"
        ) from None


def _shares(
    urls: Mapping[str, str], seed: int, count: int, tokens: Sequence[str]
) -> Iterator[tuple[str, Requests, Random, int]]:
    """Each thread's part for each port: most of them are for the login port."""
    parts = {"login": 0.5, "operator": 0.4, "workers": 0.1}
    for thread in range(THREADS):
        for port in urls:
            name = f"{seed} {port} {thread}"
            times = math.ceil(count * parts[port] / THREADS)
            yield port, Requests(name, tokens), Random(name), times
