"""`python -m bench.bare SECONDS`: argon2 and nothing else, on a thread for every core."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from argon2 import PasswordHasher

from bench.accounts import real_hash
from bench.client import PASSWORD
from bench.system import PROJECT


def checks_per_second(seconds: float) -> float:
    """What a fresh process does."""
    command = [sys.executable, "-m", "bench.bare", str(seconds)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, cwd=PROJECT, check=True).stdout)


def measure(seconds: float, threads: int) -> float:
    """Checks a second, of all threads together."""
    stored = real_hash()
    start = threading.Barrier(threads)
    rates = [0.0] * threads

    def check(number: int) -> None:
        verify = PasswordHasher().verify
        verify(stored, PASSWORD)
        start.wait()
        began, done = time.monotonic(), 0
        while time.monotonic() < began + seconds:
            verify(stored, PASSWORD)
            done += 1
        rates[number] = done / (time.monotonic() - began)

    all_threads = [threading.Thread(target=check, args=(n,)) for n in range(threads)]
    for thread in all_threads:
        thread.start()
    for thread in all_threads:
        thread.join()
    return sum(rates)


if __name__ == "__main__":
    print(measure(float(sys.argv[1]), os.cpu_count() or 1))
