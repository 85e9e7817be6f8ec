"""The workers' own port."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest

from workers.supervisor.status import StatusServer, serve


@pytest.fixture
def server() -> Iterator[StatusServer]:
    """One on any port of loopback."""
    started = serve("127.0.0.1", 0, lambda: (True, "ok"), {"workers"})
    yield started
    started.shutdown()
    started.server_close()


def ask(server: StatusServer, host: str, path: str = "/healthz") -> http.client.HTTPResponse:
    """The answer to a request that names this host."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_a_name_of_others_that_leads_here_is_refused(server: StatusServer) -> None:
    """A page on the web could make its own name lead here and read the metrics."""
    for host in ("127.0.0.1:5001", "localhost", "[::1]:5001", "workers:5001"):
        assert ask(server, host).status == 200
    for host in ("evil.example:5001", "wpad", "gateway"):
        assert ask(server, host, "/metrics").status == 421
    answer = ask(server, "localhost")
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] == "cerrojo"


def test_an_address_of_ipv6_is_one() -> None:
    """As for a gateway's ports: on a network without IPv4 the workers did not start."""
    started = serve("::1", 0, lambda: (True, "ok"))
    with socket.create_connection(("::1", started.server_port), 10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\nHost: [::1]\r\n\r\n")
        assert b"200 OK" in connection.recv(65_536)
    started.shutdown()
    started.server_close()


@pytest.mark.parametrize("sent", [b"<script>alert(1)</script> /\r\n\r\n", b"\xff\xfe\r\n\r\n"])
def test_what_is_no_request_is_no_markup_in_the_answer(server: StatusServer, sent: bytes) -> None:
    """The default answer is a page that repeats what was sent."""
    with socket.create_connection(("127.0.0.1", server.server_port), 10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert b"script" not in answer
    assert b'{"error": ' in answer


def test_a_client_that_leaves_is_no_error(
    server: StatusServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else anybody could fill the log with tracebacks."""
    try:
        raise ConnectionResetError
    except ConnectionResetError:
        server.handle_error(None, None)
    assert capsys.readouterr() == ("", "")
