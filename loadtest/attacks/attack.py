"""What an attack is, and the system that it attacks."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit


class UnmetError(Exception):
    """The system is not set up for an attack, which then shows nothing."""

    def __init__(self, what: str, way_out: str) -> None:
        super().__init__(f"not attacked, as {what}: start the system with {way_out}")


@dataclass(frozen=True)
class Outcome:
    """What came of an attack."""

    tries: int
    """Requests, connections or whatever it is made of."""
    happened: str
    """In a few words with figures, for the table."""
    held: bool
    """Whether the promise held."""


@dataclass(frozen=True)
class Port:
    """Where one port of the system is."""

    host: str
    number: int

    @property
    def is_here(self) -> bool:
        """Whether it is reached over loopback, where a client may have many addresses."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        """It as in a Host header."""
        return f"{self.host}:{self.number}"


def port_of(url: str) -> Port:
    """The port that this URL names, or ValueError with a sentence."""
    address = urlsplit(url)
    if address.scheme != "http" or not address.hostname:
        raise ValueError(f"{url!r} is no URL of a port, as http://127.0.0.1:3000.")
    return Port(address.hostname, address.port or 80)


@dataclass(frozen=True)
class System:
    """The system under attack."""

    login: Port
    operator: Port
    tag: str = field(default_factory=lambda: secrets.token_hex(4))
    """A part of every name that this run makes, so that no run meets another one's accounts."""
    proxy: str = "127.0.0.2"
    """The address of a proxy that it trusts."""
    block_token: str = ""
    """A service's, with which it may ask for blocks and report nothing; empty: there is none."""

    def user(self, name: str) -> str:
        """A username that is this run's own."""
        return f"{name}-{self.tag}"

    def source(self, number: int = 0) -> str | None:
        """The address of an attacker; None where it cannot choose one.

        Everybody that does not choose one comes from 127.0.0.1.
        """
        return f"127.66.{number // 250}.{1 + number % 250}" if self.login.is_here else None

    def require_proxy(self) -> str:
        """The proxy's address, or UnmetError where nobody here may have it."""
        if not self.login.is_here:
            raise UnmetError(f"{self.login} is another machine", "its login port on loopback here")
        return self.proxy


@dataclass(frozen=True)
class Attack:
    """One attack, as a line of the table."""

    name: str
    promise: str
    """What the system promises against it, in a few words."""
    run: Callable[[System], Awaitable[Outcome]]
    """Does it. An error that it raises is a broken promise."""
