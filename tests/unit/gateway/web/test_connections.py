"""Which connections are closed where too many are idle."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gateway.web.connections import Connections, Open, Peer

PROXY = ipaddress.ip_network("192.0.2.7")


def open_ones(*hosts: str) -> list[Open]:
    """A connection of each of these, of which the first is the most silent."""
    return [
        Open(number, (host, str(number)), silent_ms=1000 - number)
        for number, host in enumerate(hosts)
    ]


def order(*hosts: str) -> list[int]:
    """The numbers of these hosts' connections, in the order in which they go."""
    connections = Connections(3000, 0, [PROXY], set)
    return [one.file for one in connections.first_to_go(open_ones(*hosts))]


def test_whoever_has_most_loses_them_first() -> None:
    """A few of one address stay, whenever they came, while another one has more."""
    few, many = "192.0.2.1", "192.0.2.2"
    assert order(few, many, many, few, many, many)[:2] == [1, 2]


def test_of_one_source_the_most_silent_go_first() -> None:
    """One that has just come is about to say something."""
    assert order("192.0.2.1", "192.0.2.1", "192.0.2.1") == [0, 1, 2]


def test_of_many_sources_the_most_silent_goes_first() -> None:
    """A botnet has one connection for each address."""
    assert order("192.0.2.1", "192.0.2.2", "192.0.2.3") == [0, 1, 2]


def test_the_addresses_of_a_network_of_ipv6_are_one_source() -> None:
    """Who has one of them has all."""
    few, many = "2001:db8:1::1", ("2001:db8::1", "2001:db8::2", "2001:db8::3")
    assert order(few, *many)[:2] == [1, 2]


def test_an_address_of_ipv4_is_itself_when_it_is_written_as_ipv6() -> None:
    """A socket for both shows it so."""
    assert order("::ffff:192.0.2.1", "::ffff:192.0.2.2", "192.0.2.2") == [1, 0, 2]


def test_a_trusted_proxy_s_connections_go_last() -> None:
    """It has many for many clients."""
    proxy = str(PROXY.network_address)
    assert order(proxy, proxy, proxy, "192.0.2.1")[0] == 3


@pytest.fixture
def accepted() -> Iterator[tuple[int, list[tuple[socket.socket, Peer]]]]:
    """A port, and ten connections from one address and then two from another, with their peers."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        clients = []
        for source in [*["127.66.0.1"] * 10, *["127.66.0.2"] * 2]:
            client = stack.enter_context(
                socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
            )
            client.settimeout(0.1)
            server, peer = listener.accept()
            stack.enter_context(server)
            clients.append((client, server, (peer[0], str(peer[1]))))
        yield port, [(server, peer) for _, server, peer in clients]


def ended(server: socket.socket) -> bool:
    """Whether the server sees the end of this connection."""
    try:
        return server.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


def test_the_surplus_is_closed_and_nothing_else(
    accepted: tuple[int, list[tuple[socket.socket, Peer]]],
) -> None:
    """Not those of others, nor one whose request has arrived, nor a process's other sockets."""
    port, connections = accepted
    busy = {connections[0][1]}
    one, other = socket.socketpair()
    with one, other:
        Connections(port, 8, [], lambda: busy).look()
        closed = [ended(server) for server, _ in connections]
        assert not closed[0]
        assert sum(closed) == 3 + 2  # above the limit, and a quarter of it
        assert not any(closed[10:])
        assert not ended(one)


def test_nothing_is_closed_while_there_is_room(
    accepted: tuple[int, list[tuple[socket.socket, Peer]]],
) -> None:
    """However many of them one source has."""
    port, connections = accepted
    Connections(port, 12, [], set).look()
    assert not any(ended(server) for server, _ in connections)


def test_an_answer_on_its_way_arrives(
    accepted: tuple[int, list[tuple[socket.socket, Peer]]],
) -> None:
    """Whether the server has written it already or writes it afterwards."""
    port, connections = accepted
    Connections(port, 0, [], set).look()
    server, _ = connections[0]
    assert server.send(b"HTTP/1.1 200 OK") == 15
