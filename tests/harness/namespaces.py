"""Hosts that are network namespaces of this machine, on one bridge, whose lines can be cut.

A namespace of its own is the hub. It has the bridge, and nft rules of the bridge drop what is cut:
packets from one address to another, so a line may be dead in one direction only. This process has
an address in the same network, so it reaches all of them. Traffic stays inside.

Everything is named after the process that made it. The remains of a killed one are removed by the
next.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import psutil

PREFIX = "cerrojo-net"
HUB = "hub"
HERE = "here"
"""The name of the process that made them, as a node."""

BRIDGE, SLOW, SLOWER = "bridge", "slow0", "slow1"
RULES = """
table bridge cuts {
    set cut { type ipv4_addr . ipv4_addr; }
    chain forward { type filter hook forward priority 0; ip saddr . ip daddr @cut drop; }
}
"""
PROGRAM = Path(__file__).with_name("slow_line.py")


class NamespacesError(Exception):
    """Namespaces cannot be made here; the message says why."""


class Namespaces:
    """A node for each name, all of which reach each other; a context manager."""

    def __init__(self, names: Sequence[str]) -> None:
        """Make nothing yet."""
        self.names = list(names)
        self._id = f"{PREFIX}-{os.getpid()}"
        self._number = _free_network()
        self._interface = f"cnet{os.getpid()}"
        self._slow: subprocess.Popen[bytes] | None = None
        self._slowed = ""

    def start(self) -> None:
        """Make them. Raises :class:`NamespacesError`."""
        try:
            remove_former()
            self._make()
        except (OSError, subprocess.CalledProcessError) as error:
            said = str(getattr(error, "stderr", ""))
            self.stop()
            raise NamespacesError(
                f"network namespaces cannot be made here: {said.strip() or error}"
            ) from error

    def stop(self) -> None:
        """Remove them. Processes in them should have ended."""
        self.slow_no_more()
        _remove(self._id)

    def __enter__(self) -> Namespaces:
        """See :meth:`start`."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """See :meth:`stop`."""
        self.stop()

    def address(self, name: str) -> str:
        """A node's IPv4 address; :data:`HERE` is this process."""
        number = 1 if name == HERE else 10 + self.names.index(name)
        return f"10.83.{self._number}.{number}"

    def inside(self, name: str) -> tuple[str, ...]:
        """The words to put before a command so that it runs in a node."""
        return () if name == HERE else ("ip", "netns", "exec", self._namespace(name))

    def others(self, name: str) -> list[str]:
        """All nodes but this one."""
        return [other for other in (*self.names, HERE) if other != name]

    def cut(self, lines: Iterable[tuple[str, str]]) -> None:
        """Lose what is sent from one to the other of each pair, and tell nobody."""
        pairs = ", ".join(f"{self.address(a)} . {self.address(b)}" for a, b in lines)
        self._in_hub("nft", "add", "element", "bridge", "cuts", "cut", f"{{ {pairs} }}")

    def refuse(self, a: str, b: str) -> None:
        """Let both know at once that they do not reach each other."""
        for one, other in ((a, b), (b, a)):
            _run(*self.inside(one), "ip", "route", "add", "unreachable", self.address(other))

    def heal(self) -> None:
        """All lines are whole again, and quick."""
        self._in_hub("nft", "flush", "set", "bridge", "cuts", "cut")
        for name in self.names:
            _run(*self.inside(name), "ip", "route", "flush", "type", "unreachable")
        self.slow_no_more()

    def slow(self, name: str, delay: float, jitter: float, loss: float, luck: int) -> None:
        """Let everything from and to a node but ours take longer: seconds, and a share is lost."""
        line, here = self._line(name), self.address(HERE)
        self._slowed = line
        self._slow = subprocess.Popen(
            [
                *self.inside(HUB),
                *(sys.executable, "-I", "-S", str(PROGRAM), line, SLOW),
                *map(str, (delay, jitter, loss, luck, self.address(name), here)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._slow.stdout is not None
        assert self._slow.stdout.readline(), f"{PROGRAM.name} did not start"
        _run("ip", "-n", self._namespace(HUB), "link", "set", line, "nomaster")

    def slow_no_more(self) -> None:
        """End what :meth:`slow` began."""
        if self._slow is not None:
            self._slow.communicate()  # the end of its input is its end
            self._slow = None
            hub = self._namespace(HUB)
            _run("ip", "-n", hub, "link", "set", SLOWER, "nomaster")  # all that it has learned goes
            for line in (SLOWER, self._slowed):
                _run("ip", "-n", hub, "link", "set", line, "master", BRIDGE)

    def _make(self) -> None:
        hub = self._namespace(HUB)
        self._add(hub)
        _run("ip", "-n", hub, "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "-n", hub, "link", "add", SLOW, "type", "veth", "peer", "name", SLOWER)
        _run("ip", "-n", hub, "link", "set", SLOWER, "master", BRIDGE)
        for link in (BRIDGE, SLOW, SLOWER):
            _run("ip", "-n", hub, "link", "set", link, "up")
        _run(*self.inside(HUB), "nft", "-f", "-", input_=RULES)
        for name in self.names:
            self._add(self._namespace(name))
            self._connect(name, "eth0", self._namespace(name))
        self._connect(HERE, self._interface, str(os.getpid()))

    def _add(self, namespace: str) -> None:
        _run("ip", "netns", "add", namespace)
        _run("ip", "-n", namespace, "link", "set", "lo", "up")

    def _connect(self, name: str, interface: str, where: str) -> None:
        hub, line = self._namespace(HUB), self._line(name)
        _run(
            *("ip", "-n", hub, "link", "add", line, "type", "veth"),
            *("peer", "name", interface, "netns", where),
        )
        inside = self.inside(name)
        _run(*inside, "ip", "address", "add", f"{self.address(name)}/24", "dev", interface)
        # A reader of a line's packets gets them whole: without it, checksums come later.
        _run(*inside, sys.executable, "-I", "-S", str(PROGRAM), "--whole", interface)
        _run(*inside, "ip", "link", "set", interface, "up")
        _run("ip", "-n", hub, "link", "set", line, "master", BRIDGE)
        _run("ip", "-n", hub, "link", "set", line, "up")

    def _in_hub(self, *command: str) -> None:
        _run(*self.inside(HUB), *command)

    def _namespace(self, name: str) -> str:
        return f"{self._id}-{name.replace(' ', '')}"

    def _line(self, name: str) -> str:
        """The end of a node's line in the hub."""
        return f"line{self.address(name).rpartition('.')[2]}"


def why_not() -> str | None:
    """Why there can be no such network here; None where there can."""
    try:
        with Namespaces(["probe"]) as namespaces:
            namespaces.cut([("probe", HERE)])
            namespaces.heal()
    except NamespacesError as error:
        return str(error)
    return None


def _run(*command: str, input_: str = "") -> str:
    done = subprocess.run(command, input=input_, capture_output=True, text=True, check=True)
    return done.stdout


def _free_network() -> int:
    addresses = [str(a.address) for some in psutil.net_if_addrs().values() for a in some]
    taken = {int(address.split(".")[2]) for address in addresses if address.startswith("10.83.")}
    free = [number for number in range(256) if number not in taken]
    return free[os.getpid() % len(free)]


def _names() -> Iterator[str]:
    for line in _run("ip", "netns", "list").splitlines():
        if line.startswith(f"{PREFIX}-"):
            yield line.split()[0]


def remove_former() -> None:
    """Remove what processes left that are no more."""
    for name in _names():
        pid = int(name.removeprefix(f"{PREFIX}-").partition("-")[0])
        if not psutil.pid_exists(pid):
            _remove(f"{PREFIX}-{pid}")


def _remove(id_: str) -> None:
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        for name in [name for name in _names() if name.startswith(f"{id_}-")]:
            # The hub's ends first: without them all of the lines are gone.
            with contextlib.suppress(subprocess.CalledProcessError):
                if name.endswith(f"-{HUB}"):
                    for link in _links(name):
                        _run("ip", "-n", name, "link", "delete", link)
            _run("ip", "netns", "delete", name)


def _links(namespace: str) -> list[str]:
    lines = _run("ip", "-n", namespace, "-o", "link", "show", "type", "veth").splitlines()
    names = [line.split(":")[1].strip().partition("@")[0] for line in lines]
    return [name for name in names if name != SLOWER]  # which goes with its other end
