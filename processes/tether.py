"""Ties a program that cannot watch a pipe (java, postgres) to the life of its keeper.

    python -m processes.tether [--signal TERM] [--grace 10] -- command argument ...

Runs the command, passes a request to finish on to it as the signal it wants, and
ends as it ends. When the keeper dies it stops the command: that signal, then SIGKILL
`grace` seconds later. On Linux the command also gets the signal when the tether itself
is killed, unless it changes its user (`setpriv --pdeathsig` can ask for it again).

Imports nothing but the standard library, little of it, so that it stays small.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from typing import NoReturn

FD_VARIABLE = "CERROJO_PARENT_FD"  # as in parent.py, which is not imported: this stays small
PR_SET_PDEATHSIG = 1  # from linux/prctl.h
ASKS = {signal.SIGTERM, signal.SIGINT}
BY_FILE = (sys.executable, "-I", "-S", os.path.abspath(__file__))  # works in any directory


def command(*arguments: str, stop_signal: str = "TERM", grace: float = 10.0) -> tuple[str, ...]:
    """The command line that runs another one on a tether. `grace` is in seconds."""
    return (*BY_FILE, "--signal", stop_signal, "--grace", str(grace), "--", *arguments)


def main() -> int:
    """Run the command of this process's arguments; returns its exit code."""
    if sys.argv[1:2] == ["--exec"]:
        _exec(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    parser = argparse.ArgumentParser(prog="python -m processes.tether", allow_abbrev=False)
    parser.add_argument("--signal", default="TERM", choices=["TERM", "INT", "QUIT", "HUP"])
    parser.add_argument("--grace", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    return run(options.command, signal.Signals[f"SIG{options.signal}"], options.grace)


def run(arguments: list[str], stop_signal: int, grace: float) -> int:
    """Run a command until it ends, or until the keeper's end of the pipe closes."""
    number = os.environ.pop(FD_VARIABLE, None)
    pipe = None if number is None else socket.socket(fileno=int(number))
    bell, button = socket.socketpair()
    button.setblocking(False)
    signal.set_wakeup_fd(button.fileno())
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(each, lambda *_: None)
    if sys.platform == "linux":
        arguments = [*BY_FILE, "--exec", str(os.getpid()), str(int(stop_signal)), *arguments]
    try:
        child = subprocess.Popen(arguments)
    except OSError as error:
        sys.exit(f"{arguments[0]} cannot be started: {error}")
    files = [bell] if pipe is None else [bell, pipe]
    deadline: float | None = None
    while (code := child.poll()) is None:
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select(files, [], [], timeout)
        asked = bell in readable and bool(ASKS & set(bell.recv(4096)))
        if pipe and pipe in readable:  # the keeper never says a word: this is its end
            files.remove(pipe)
            deadline = time.monotonic() + grace
            asked = True
        if asked:
            child.send_signal(stop_signal)
        elif deadline is not None and time.monotonic() >= deadline:
            child.kill()
            deadline = None
    if code < 0:
        _die_of(-code)
    return code


def _exec(parent: int, death_signal: int, arguments: list[str]) -> NoReturn:
    """Become the command, which the kernel is to stop when the tether dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # it died before the kernel knew
        sys.exit(1)
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606 - to become the command is the point
    except OSError as error:
        sys.exit(f"{arguments[0]} cannot be started: {error}")


def _die_of(number: int) -> None:
    """End as the command did, for the keeper to see."""
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(main())
