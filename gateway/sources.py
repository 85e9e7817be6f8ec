"""Where a login comes from: the address of the person, and the program.

The address is that of the connection's other end, the peer. Only where the peer is a trusted proxy
do the headers count in which proxies say for whom they ask. They are read from the right, as each
proxy appends what it saw: the first address that is no trusted proxy's is the source. What stands
to the left of it anybody may have written.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from events.messages import LONGEST_USER_AGENT
from settings import Network

LONGEST_CHAIN = 32
"""Elements of a header that are read; more than anybody has proxies, so that none is costly."""

LONGEST_ELEMENT = 512
"""Bytes of an element of `Forwarded`, which may have a name of a host besides the address."""

MOST_PARAMETERS = 16
"""Of such an element, of which four have a meaning."""

LONGEST_NODE = 64
"""Characters of an address with brackets and a port."""

REMEMBERED = 1024
"""Addresses that need not be parsed again."""

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"

_PARAMETER = re.compile(
    rb"(?:(" + _TOKEN + rb")=(" + _TOKEN + rb'|"(?:[^"\\]|\\.)*+"))?+[ \t]*+(?:;[ \t]*+|\Z)',
    re.DOTALL,
)
"""One of an element of `Forwarded`, by RFC 7239; nothing in it can be read in two ways."""

_NODE = re.compile(
    r"(?:(?P<ipv4>[0-9.]++)|\[(?P<ipv6>[0-9A-Fa-f:.]++)\])(?::(?:[0-9]{1,5}|_[0-9A-Za-z._-]++))?"
    r"|(?P<bare>[0-9A-Fa-f:.]++)"
)


class Known(NamedTuple):
    """An address in its one form, and whether it is a trusted proxy's."""

    address: str
    is_proxy: bool


class Origin(NamedTuple):
    """Where a request comes from."""

    address: str | None
    """In its one form; None where the peer has none."""
    disputed: bool = False
    """Whether it is the proxy's own because two headers say two things: at least one of them a
    client has made up, perhaps to be taken for the proxy."""


class Sources:
    """Finds the source of each request."""

    def __init__(self, trusted: Collection[Network]) -> None:
        """`trusted`: the networks of the proxies whose headers count."""
        self._trusted = tuple(trusted)
        self._known = lru_cache(maxsize=REMEMBERED)(self._look)

    def of(self, peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> Origin:
        """The address from which this request came.

        The names of `headers` are in small letters. An element without an address (malformed,
        `unknown`, hidden) ends the reading, and the address to the right of it counts.
        """
        near = self._known(peer) if peer else None
        if near is None:
            return Origin(None)
        if not near.is_proxy:
            return Origin(near.address)
        forwarded = [value for name, value in headers if name == b"forwarded"]
        x_forwarded_for = [value for name, value in headers if name == b"x-forwarded-for"]
        found = set()
        if forwarded:
            found.add(self._first_stranger(near, map(_node_of, _from_the_right(forwarded))))
        if x_forwarded_for:
            found.add(self._first_stranger(near, _from_the_right(x_forwarded_for)))
        # A proxy that writes one of them may let the client's own other one through, and nobody
        # could say which.
        disputed = len(found) > 1
        return Origin(near.address if disputed or not found else found.pop(), disputed)

    def _first_stranger(self, near: Known, nodes: Iterator[bytes]) -> str:
        for node in islice(nodes, LONGEST_CHAIN):
            if not near.is_proxy or len(node) > LONGEST_NODE:
                break
            known = self._known(node.decode("latin-1"))
            if known is None:
                break
            near = known
        return near.address

    def _look(self, node: str) -> Known | None:
        """The address of a peer, or of an element; its port says nothing of a person."""
        parts = _NODE.fullmatch(node)
        if parts is None:
            return None
        found = parse_address(parts["ipv4"] or parts["ipv6"] or parts["bare"])
        if found is None or (parts["ipv6"] and ":" not in parts["ipv6"]):
            return None
        return Known(str(found), any(found in network for network in self._trusted))


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """This address, one of IPv4 always as such; None where the text is none.

    One with a zone is none: the zone is the name of a network card.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if "%" in text:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def user_agent_of(header: bytes | None) -> str | None:
    """What this `User-Agent` says, cut to the length that an attempt may have; None without one."""
    if not header:
        return None
    return printable(header.decode("utf-8", "replace")[:LONGEST_USER_AGENT])


def printable(user_agent: str) -> str:
    """The same, as a person may look at it. What a guesser sends there must not be refused."""
    if user_agent.isprintable():
        return user_agent
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in user_agent)


def _from_the_right(values: list[bytes]) -> Iterator[bytes]:
    """The elements of a header, which may have come in several lines."""
    for value in reversed(values):
        end = len(value)
        while end >= 0:
            comma = value.rfind(b",", 0, end)
            yield value[comma + 1 : end].strip(b" \t")
            end = comma


def _node_of(element: bytes) -> bytes:
    """What an element of `Forwarded` says of the sender; nothing where it is malformed.

    A comma within quotes parts an element in two. No right part of it is well-formed, since one
    quote more closes in it than opens; so a name of a host that a client chose is no element.
    """
    node: bytes | None = None
    at = 0
    if len(element) > LONGEST_ELEMENT:
        return b""
    for _ in range(MOST_PARAMETERS):
        parameter = _PARAMETER.match(element, at)
        if parameter is None:
            return b""
        at = parameter.end()
        if parameter[1] and parameter[1].lower() == b"for":
            if node is not None:
                return b""
            node = parameter[2].strip(b'"')
        if at == len(element):
            return node or b""
    return b""
