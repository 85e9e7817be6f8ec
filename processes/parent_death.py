"""Ties a program that cannot watch a pipe (java, postgres) to the life of its manager.

    python -m processes.parent_death [--signal TERM] [--grace 10] -- command argument ...

Runs the command, passes SIGTERM and SIGINT on to it as the given signal, and ends as the command
ends. When the manager dies, it sends the command that signal, and SIGKILL `grace` seconds later. On
Linux the command also gets the signal when this wrapper itself is killed, unless the command
changes its user (`setpriv --pdeathsig` can request it again).

Imports only a little of the standard library, so that the process stays small.
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

FD_VARIABLE = "CERROJO_MANAGER_FD"  # as in manager_link.py, which is not imported: this stays small
PR_SET_PDEATHSIG = 1  # from linux/prctl.h
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
BY_FILE = (sys.executable, "-I", "-S", os.path.abspath(__file__))  # works in any directory


def command(*arguments: str, stop_signal: str = "TERM", grace: float = 10.0) -> tuple[str, ...]:
    """The command line that ties another one to its manager. `grace` is in seconds."""
    return (*BY_FILE, "--signal", stop_signal, "--grace", str(grace), "--", *arguments)


def main() -> int:
    """Run the command of this process's arguments; its exit code."""
    if sys.argv[1:2] == ["--exec"]:
        _exec(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    parser = argparse.ArgumentParser(prog="python -m processes.parent_death", allow_abbrev=False)
    parser.add_argument("--signal", default="TERM", choices=["TERM", "INT", "QUIT", "HUP"])
    parser.add_argument("--grace", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    return run(options.command, signal.Signals[f"SIG{options.signal}"], options.grace)


def run(arguments: list[str], stop_signal: int, grace: float) -> int:
    """Run a command until it ends or the manager's end of the pipe closes; its exit code."""
    number = os.environ.pop(FD_VARIABLE, None)
    pipe = None if number is None else socket.socket(fileno=int(number))
    wake_receiver, wake_sender = socket.socketpair()
    wake_sender.setblocking(False)
    signal.set_wakeup_fd(wake_sender.fileno())
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(each, lambda *_: None)
    if sys.platform == "linux":
        arguments = [*BY_FILE, "--exec", str(os.getpid()), str(int(stop_signal)), *arguments]
    try:
        child = subprocess.Popen(arguments)
    except OSError as error:
        sys.exit(f"{arguments[0]} cannot be started: {error}")
    files = [wake_receiver] if pipe is None else [wake_receiver, pipe]
    deadline: float | None = None
    while (code := child.poll()) is None:
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select(files, [], [], timeout)
        stop = wake_receiver in readable and bool(STOP_SIGNALS & set(wake_receiver.recv(4096)))
        if pipe and pipe in readable:  # the manager never sends anything, so it is dead
            files.remove(pipe)
            deadline = time.monotonic() + grace
            stop = True
        if stop:
            child.send_signal(stop_signal)
        elif deadline is not None and time.monotonic() >= deadline:
            child.kill()
            deadline = None
    if code < 0:
        _die_of(-code)
    return code


def _exec(wrapper_pid: int, death_signal: int, arguments: list[str]) -> NoReturn:
    """Become the command, to which the kernel sends the signal when the wrapper dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != wrapper_pid:  # the wrapper died before the kernel was told
        sys.exit(1)
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606 - becoming the command is the purpose
    except OSError as error:
        sys.exit(f"{arguments[0]} cannot be started: {error}")


def _die_of(number: int) -> None:
    """End by the signal that ended the command, so that the manager sees it."""
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(main())
