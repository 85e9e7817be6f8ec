"""`python -m bench.bare SECONDS BUILD`: argon2 and nothing else, on a thread for every core."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from typing import Literal, NamedTuple

from bench.client import PASSWORD
from bench.system import PROJECT
from gateway.passwords.argon2_build import use_fastest

Build = Literal["wheel", "in use"]
"""The stock wheel, or the one that the gateway would use on this machine."""


class Bare(NamedTuple):
    """The speed of argon2 alone."""

    rate: float
    """Checks a second, of all threads together."""
    core_ms: float
    """CPU of a check."""


def bare(seconds: float, build: Build) -> Bare:
    """The speed of a fresh process with this build of Argon2."""
    command = [sys.executable, "-m", "bench.bare", str(seconds), build]
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=PROJECT, check=True)
    return Bare(*map(float, done.stdout.split()))


def measure(seconds: float, threads: int) -> Bare:
    """The speed of this process."""
    from argon2 import PasswordHasher  # these load Argon2, and the build is chosen

    from bench.accounts import real_hash

    stored = real_hash()
    start = threading.Barrier(threads + 1)
    rates, checks = [0.0] * threads, [0] * threads

    def check(number: int) -> None:
        verify = PasswordHasher().verify
        verify(stored, PASSWORD)
        start.wait()
        began, done = time.monotonic(), 0
        while time.monotonic() < began + seconds:
            verify(stored, PASSWORD)
            done += 1
        rates[number], checks[number] = done / (time.monotonic() - began), done

    all_threads = [threading.Thread(target=check, args=(n,)) for n in range(threads)]
    for thread in all_threads:
        thread.start()
    start.wait()
    cpu = _cpu()
    for thread in all_threads:
        thread.join()
    return Bare(sum(rates), 1000 * (_cpu() - cpu) / sum(checks))


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    if sys.argv[2] == "in use":
        use_fastest()
    print(*measure(float(sys.argv[1]), os.cpu_count() or 1))
