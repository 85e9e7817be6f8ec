"""The source of a login is an address that nobody can make up."""

from __future__ import annotations

import ipaddress
import timeit
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.messages import LONGEST_SOURCE, LONGEST_USER_AGENT
from gateway.sources import (
    LONGEST_CHAIN,
    LONGEST_ELEMENT,
    MOST_PARAMETERS,
    REMEMBERED,
    Sources,
    parse_address,
    user_agent_of,
)
from settings import Settings

PROXY = "192.0.2.1"
VISITOR = "198.51.100.7"
HEAD = 16_384  # bytes, as of the server
TRUSTED = f"{PROXY},10.0.0.0/8,2001:db8:1::/48"


def source(peer: str | None, *lines: tuple[str, str | bytes], trusted: str = TRUSTED) -> str | None:
    """The source of a request with these headers."""
    headers = [
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in lines
    ]
    return Sources(Settings(trusted_proxies=trusted).proxy_networks).of(peer, headers).address


def x(value: str | bytes) -> tuple[str, str | bytes]:
    """The header of most proxies."""
    return "x-forwarded-for", value


def forwarded(value: str | bytes) -> tuple[str, str | bytes]:
    """The header of RFC 7239."""
    return "forwarded", value


def as_forwarded(chain: str) -> str:
    """The elements of a chain as those of `Forwarded`."""
    return ", ".join(f'for="{node.strip()}"' for node in chain.split(","))


@pytest.mark.parametrize("line", [x(VISITOR), forwarded(f"for={VISITOR}")])
def test_headers_of_a_stranger_count_for_nothing(line: tuple[str, str]) -> None:
    """Anybody may write them; at first nobody is trusted."""
    assert source("203.0.113.9", line) == "203.0.113.9"
    assert source(PROXY, line, trusted="") == PROXY
    assert source("192.0.2.2", line) == "192.0.2.2"


@pytest.mark.parametrize(
    ("chain", "found"),
    [
        (VISITOR, VISITOR),
        (f"  {VISITOR}\t", VISITOR),
        # What stands to the left of the first stranger was written by that one, or before it.
        (f"203.0.113.9, {VISITOR}", VISITOR),
        (f"10.0.0.1, {VISITOR}", VISITOR),
        (f"nonsense\x01, , {VISITOR}", VISITOR),
        (f"{VISITOR}, 10.0.0.1", VISITOR),
        (f"203.0.113.9,{VISITOR},10.0.0.1,10.9.9.9,2001:db8:1::5", VISITOR),
        # All are proxies: the farthest of them has said so itself.
        ("10.0.0.2, 10.0.0.1", "10.0.0.2"),
        # No address: what is to the right of it counts.
        ("", PROXY),
        (",", PROXY),
        (f"{VISITOR},", PROXY),
        (f"{VISITOR}, , 10.0.0.1", "10.0.0.1"),
        (f"{VISITOR}, unknown", PROXY),
        (f"{VISITOR}, unknown, 10.0.0.1", "10.0.0.1"),
        (f"{VISITOR}, _hidden, 10.0.0.1", "10.0.0.1"),
        (f"{VISITOR}, _hidden:80, 10.0.0.1", "10.0.0.1"),
        (f"{VISITOR}, localhost", PROXY),
        (f"{VISITOR}, 10.0.0.1/8", PROXY),
        (f"{VISITOR}, 10.0.0", PROXY),
        (f"{VISITOR}, 010.0.0.1", PROXY),
        (f"{VISITOR}, 167772161", PROXY),
        (f"{VISITOR}, 0x0a000001", PROXY),
        (f"{VISITOR}, 10.0.0.256", PROXY),
        (f"{VISITOR}, 10.0.0.1 10.0.0.1", PROXY),
        (f"{VISITOR}, 10.0.0.1\x00", PROXY),
        (f"{VISITOR}, \N{ARABIC-INDIC DIGIT ONE}.0.0.1", PROXY),
        (f"{VISITOR}, é", PROXY),
        # Ports, brackets, zones.
        (f"{VISITOR}:4711", VISITOR),
        (f"{VISITOR}:_port", VISITOR),
        (f"{VISITOR}, 10.0.0.1:80", VISITOR),
        (f"{VISITOR}:", PROXY),
        (f"{VISITOR}:port", PROXY),
        (f"{VISITOR}:123456", PROXY),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        (f"{VISITOR}, [2001:db8:1::1]:80", VISITOR),
        ("[2001:db8::7", PROXY),
        ("2001:db8::7]", PROXY),
        (f"[{VISITOR}]", PROXY),
        ("[]", PROXY),
        ("fe80::1%eth0", PROXY),
        ("[fe80::1%25eth0]:80", PROXY),
        (f"{VISITOR}, 2001:db8:1::1%eth0", PROXY),
        # Addresses of IPv4 as those of IPv6.
        (f"::ffff:{VISITOR}", VISITOR),
        (f"[::FFFF:{VISITOR}]:80", VISITOR),
        ("::ffff:c633:6407", VISITOR),
        (f"{VISITOR}, ::ffff:10.0.0.1", VISITOR),
        (f"::ffff:0:{VISITOR}", "::ffff:0:c633:6407"),  # another block, which maps nothing
    ],
)
def test_a_chain_is_read_from_the_right_up_to_the_first_stranger(chain: str, found: str) -> None:
    """The same in both headers."""
    assert source(PROXY, x(chain)) == found
    assert source(PROXY, forwarded(as_forwarded(chain))) == found
    assert source(f"::ffff:{PROXY}", x(chain)) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (f"for={VISITOR}", VISITOR),
        (f"FOR={VISITOR};Proto=https", VISITOR),
        (f"proto=https;by=_a;for={VISITOR};host=a.example", VISITOR),
        (f'for="{VISITOR}:80" ; host="a.example:443";;', VISITOR),
        (f'host="a, b \\" c";for={VISITOR}', PROXY),  # in parts: no address is taken from it
        (f"for=203.0.113.9, for={VISITOR};by=10.0.0.1", VISITOR),
        (f'for=", for={VISITOR}', VISITOR),  # a quote of the client's own swallows nothing
        (f'for="203.0.113.9, for={VISITOR}', VISITOR),
        # The same twice, nothing of it, or not of the grammar.
        (f"for={VISITOR};for={VISITOR}", PROXY),
        (f'for="";for={VISITOR}', PROXY),
        ("proto=https", PROXY),
        (f"{VISITOR}", PROXY),
        (f"xfor={VISITOR}", PROXY),
        (f"for:{VISITOR}", PROXY),
        (f"for = {VISITOR}", PROXY),
        (f'for="{VISITOR}', PROXY),
        (f'for={VISITOR}"', PROXY),
        (f'for=""{VISITOR}""', PROXY),
        (f'for="{VISITOR}"x', PROXY),
        (f'for="\\{VISITOR}"', PROXY),
        ("for=2001:db8::7", PROXY),  # has to be quoted
        (f"for={VISITOR};host=é", PROXY),
        (f"for={VISITOR};x={'a' * LONGEST_ELEMENT}", PROXY),
        (f"{';' * (MOST_PARAMETERS - 1)}for={VISITOR}", VISITOR),
        (f"{';' * MOST_PARAMETERS}for={VISITOR}", PROXY),
    ],
)
def test_elements_of_forwarded(value: str, found: str) -> None:
    """By RFC 7239; what is not by it says nothing."""
    assert source(PROXY, forwarded(value)) == found


@given(
    st.lists(
        st.sampled_from(
            [*('"', "\\", ",", ";", "=", " ", "for=", f"for={VISITOR}", f'for="{VISITOR}"', "b")]
        ),
        max_size=12,
    ).map("".join),
    st.sampled_from(["", ";proto=https", ';by="_a"', ';ua="{}"']),
)
def test_a_quoted_name_of_a_host_is_never_an_element(host: str, more: str) -> None:
    """A proxy may quote what a client has chosen, with commas and all else in it."""
    quoted = host.replace("\\", "\\\\").replace('"', '\\"')
    value = f'for=10.0.0.1;host="{quoted}"{more.format(quoted)}'
    assert source(PROXY, forwarded(value)) in (PROXY, "10.0.0.1")


def test_lines_of_a_header_are_one_after_the_other() -> None:
    """A proxy may add a line instead of an element."""
    assert source(PROXY, x("203.0.113.9"), x(VISITOR)) == VISITOR
    assert source(PROXY, x(VISITOR), x("10.0.0.1"), ("host", "a")) == VISITOR
    assert source(PROXY, forwarded("for=203.0.113.9"), forwarded(f"for={VISITOR}")) == VISITOR
    assert source(PROXY, x(VISITOR), x("")) == PROXY


def test_headers_that_disagree_count_for_nothing() -> None:
    """A proxy that writes one lets the other one through as the client has made it up."""
    assert source(PROXY, x(VISITOR), forwarded(f"for={VISITOR}")) == VISITOR
    assert source(PROXY, x(VISITOR), forwarded("for=203.0.113.9")) == PROXY
    assert source(PROXY, x("203.0.113.9"), forwarded(f"for={VISITOR}")) == PROXY
    assert source(PROXY, x(VISITOR), forwarded("nonsense")) == PROXY


def test_a_dispute_is_told_from_a_proxy_s_own_request() -> None:
    """A client that is taken for the proxy must not have its exemption from limits."""
    sources = Sources(Settings(trusted_proxies=TRUSTED).proxy_networks)
    both = [(b"x-forwarded-for", VISITOR.encode()), (b"forwarded", b"for=203.0.113.9")]
    assert sources.of(PROXY, both) == (PROXY, True)
    assert sources.of(PROXY, both[:1]) == (VISITOR, False)
    assert sources.of(PROXY, []) == (PROXY, False)
    assert sources.of(VISITOR, both) == (VISITOR, False)


@pytest.mark.parametrize("peer", [None, "", "unix:", "/run/socket", "fe80::1%eth0"])
def test_a_peer_without_an_address_is_no_source(peer: str | None) -> None:
    """Nor do its headers say one, as nobody could trust it."""
    assert source(peer, x(VISITOR), trusted="0.0.0.0/0,::/0") is None


@pytest.mark.parametrize(
    ("peer", "found"),
    [(f"::ffff:{VISITOR}", VISITOR), ("2001:DB8::7", "2001:db8::7"), ("::1",) * 2],
)
def test_a_peer_has_one_form(peer: str, found: str) -> None:
    """A listener for both families gives addresses of IPv4 as those of IPv6."""
    assert source(peer) == found


COSTLY = {
    "proxies": x("10.0.0.1," * (HEAD // 9) + "10.0.0.1"),
    "proxies of Forwarded": forwarded("for=10.0.0.1," * (HEAD // 13) + "for=10.0.0.1"),
    "proxies with parameters": forwarded(
        ",".join(f"{'a=b;' * (MOST_PARAMETERS - 1)}for=10.0.0.1" for _ in range(HEAD // 72))
    ),
    "commas": x("," * HEAD + "10.0.0.1"),
    "commas of Forwarded": forwarded("," * HEAD + "for=10.0.0.1"),
    "semicolons": forwarded(";" * LONGEST_ELEMENT),
    "semicolons that are too many": forwarded(";" * HEAD),
    "quotes": forwarded('for="' * (HEAD // 5)),
    "backslashes": forwarded('for="' + "\\" * (LONGEST_ELEMENT - 5)),
    "spaces": x(f"{' ' * (HEAD - 2)}x,"),
    "spaces of an element": forwarded(f"for=a{' ' * (LONGEST_ELEMENT - 6)}x"),
    "a node": x("1" * HEAD),
    "colons": x(":" * HEAD),
    "a token": forwarded("a" * HEAD),
    "lines": x(b"\xff" * HEAD),
}


@pytest.mark.parametrize("line", COSTLY.values(), ids=COSTLY)
def test_no_header_is_costly(line: tuple[str, str | bytes]) -> None:
    """Whatever fits into a request; a proxy may let it through."""
    sources = Sources(Settings(trusted_proxies=TRUSTED).proxy_networks)
    value = line[1] if isinstance(line[1], bytes) else line[1].encode()
    headers = [(line[0].encode(), value)]

    def read() -> object:
        return sources.of(PROXY, headers)

    machine = seconds(lambda: sum(range(50_000)))  # about a millisecond
    assert seconds(read) < max(0.002, 4 * machine)


def test_thousands_of_elements_are_not_read() -> None:
    """Nobody has so many proxies."""
    chain = ",".join(["203.0.113.9"] * 2000 + ["10.0.0.1"] * 1000)
    assert source(PROXY, x(chain)) == "10.0.0.1"
    chain = ",".join([VISITOR] + ["10.0.0.1"] * (LONGEST_CHAIN - 1))
    assert source(PROXY, x(chain)) == VISITOR
    assert source(PROXY, x(f"{chain},10.0.0.1")) == "10.0.0.1"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"forwarded", b"x-forwarded-for"]),
            st.binary(max_size=40)
            | st.lists(
                st.sampled_from([b"for=", b'"', b",", b";", b"10.0.0.1", b"[::1]", b"%", b":"])
            ).map(b"".join),
        ),
        max_size=3,
    )
)
def test_whatever_headers_say_the_source_is_an_address(lines: list[tuple[bytes, bytes]]) -> None:
    """An error would be a login whose guess does not count; a worker refuses what is too long."""
    found = Sources(Settings(trusted_proxies=TRUSTED).proxy_networks).of(PROXY, lines).address
    assert found is not None
    assert len(found) <= LONGEST_SOURCE
    assert found == str(ipaddress.ip_address(found))


def test_what_is_remembered_is_bounded() -> None:
    """Strangers choose addresses, and how long they are."""
    sources = Sources(Settings(trusted_proxies=TRUSTED).proxy_networks)
    for number in range(REMEMBERED + 10):
        sources.of(PROXY, [(b"x-forwarded-for", b"%032d" % number)])
        sources.of(PROXY, [(b"x-forwarded-for", b"1" * 10_000)])
        sources.of(str(ipaddress.IPv4Address(number)), [])
    cached = sources._known.cache_info()
    assert cached.currsize == cached.maxsize == REMEMBERED
    hits = cached.hits
    sources.of(PROXY, [(b"x-forwarded-for", b"1" * 10_000)])
    assert sources._known.cache_info().hits <= hits + 1  # the peer's alone, if it is still there


def test_an_address_has_one_form_and_no_zone() -> None:
    """As services say it, too."""
    assert str(parse_address("::ffff:192.0.2.7")) == "192.0.2.7"
    assert str(parse_address("2001:DB8:0::7")) == "2001:db8::7"
    assert parse_address("fe80::1%1") is parse_address("ana") is parse_address("") is None


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (None, None),
        (b"", None),
        (b"Mozilla/5.0 (X11)", "Mozilla/5.0 (X11)"),
        ("\N{GRINNING FACE}".encode(), "\N{GRINNING FACE}"),
        (b"\xe9\x1b[31m\x00", "\ufffd\ufffd[31m\ufffd"),
        (b"a" * HEAD, "a" * LONGEST_USER_AGENT),
        ("\N{GRINNING FACE}".encode() * 600, "\N{GRINNING FACE}" * LONGEST_USER_AGENT),
    ],
)
def test_a_user_agent_is_cut_and_shown_harmlessly(header: bytes | None, kept: str | None) -> None:
    """A guesser chooses it, so nothing in it refuses an attempt, which would then not count."""
    assert user_agent_of(header) == kept


def seconds(call: Callable[[], object]) -> float:
    """What a call takes, at the best of some times."""
    return min(timeit.repeat(call, number=1, repeat=20))
