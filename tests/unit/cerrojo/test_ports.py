"""Requests to the operator port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cerrojo.ports import (
    Port,
    RefusalError,
    UnansweredError,
    operator_port,
    path,
    url_of,
    workers_port,
)
from local import tcp_ports
from settings import Settings, SettingsError
from workers.commands.errors import CommandError


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        (Settings(), "http://127.0.0.1:5000"),
        (Settings(operator_host="::", operator_port=80), "http://[::1]:80"),
        (Settings(operator_host="10.1.2.3"), "http://10.1.2.3:5000"),
        (Settings(operator_url="https://ops.example/cerrojo/"), "https://ops.example/cerrojo"),
    ],
)
def test_the_operator_port_is_where_the_settings_say(settings: Settings, url: str) -> None:
    """On this machine, unless they name another."""
    assert url_of(settings) == url


@pytest.mark.parametrize("url", ["ops.example:5000", "ftp://ops.example", "http://", "http://a/?b"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """With the setting's name, and what it may be."""
    with pytest.raises(SettingsError, match=r"CERROJO_OPERATOR_URL is .*http://ops\.example:5000"):
        operator_port(Settings(operator_url=url))


def test_a_name_is_one_part_of_a_path() -> None:
    """Whatever it has in it."""
    assert path("blocked", "a/b c?d%é") == "/blocked/a%2Fb%20c%3Fd%25%C3%A9"


@pytest.fixture
def answers() -> Iterator[tuple[str, list[tuple[int, bytes]], list[str]]]:
    """The address of a port, what it answers next, and the requests that it got."""
    wanted: list[tuple[int, bytes]] = []
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            got.append(f"{self.command} {self.path} {body.decode()}".rstrip())
            status, text = wanted.pop(0)
            if not status:  # as one that is killed
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_DELETE = do_POST  # noqa: N815  # http.server's names

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", wanted, got
    server.shutdown()
    thread.join()
    server.server_close()


def test_requests_and_answers_are_json(
    answers: tuple[str, list[tuple[int, bytes]], list[str]],
) -> None:
    """Below the address that the setting has."""
    url, wanted, got = answers
    port = Port(f"{url}/below", 5.0, "")
    wanted += [(200, b'{"a":1}'), (201, b"{}")]
    assert port.ask("GET", "/x") == {"a": 1}
    assert port.ask("POST", "/y", {"b": 2}) == {}
    assert got == ["GET /below/x", 'POST /below/y {"b":2}']


@pytest.mark.parametrize(
    ("status", "body", "sentence", "code"),
    [
        (404, b'{"error":"There is none","code":"not_found"}', "There is none.", "not_found"),
        (502, b"<html>", "answered 502, and no JSON.", ""),
        (302, b"", "answered 302, and no JSON.", ""),
        (400, b"[1]", "answered 400, and no JSON.", ""),
        (200, b"<html>", "answered 200, and no JSON.", ""),  # as of a page for a single sign-on
    ],
)
def test_an_error_is_the_sentence_of_the_answer(
    answers: tuple[str, list[tuple[int, bytes]], list[str]],
    status: int,
    body: bytes,
    sentence: str,
    code: str,
) -> None:
    """Or of what else came, as from a proxy."""
    url, wanted, _ = answers
    wanted.append((status, body))
    with pytest.raises(RefusalError) as refused:
        Port(url, 5.0, "").ask("GET", "/x")
    assert str(refused.value).endswith(sentence)
    assert refused.value.code == code


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_what_was_asked_for_and_not_answered_may_be_done(
    answers: tuple[str, list[tuple[int, bytes]], list[str]], method: str
) -> None:
    """Who believes that nothing is there makes no second look; what only reads can be repeated."""
    url, wanted, got = answers
    wanted += [(0, b"")] * 2
    with pytest.raises(UnansweredError, match=r"may be done.*`cerrojo attempts`"):
        Port(url, 5.0, "Start it.").ask(method, "/x")
    with pytest.raises(CommandError, match=r"Nothing answers at .* Start it\."):
        Port(url, 5.0, "Start it.").ask("GET", "/x")
    assert got == [f"{method} /x", "GET /x"]


def test_where_nothing_answers_the_way_out_is_said() -> None:
    """That of the port that was asked."""
    number = tcp_ports.choose("127.0.0.1")
    with pytest.raises(CommandError, match=f"{number}: Connection refused. .*CERROJO_OPERATOR_URL"):
        operator_port(Settings(operator_port=number)).ask("GET", "/blocked")
    with pytest.raises(CommandError, match=f"{number}: Connection refused. Start `python -m work"):
        workers_port(Settings(workers_port=number)).request("GET", "/readyz")
