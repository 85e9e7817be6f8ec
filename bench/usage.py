"""The parts that had the processors: a rate is limited by the one at its end."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Sequence

import psutil

HASHES = "hashes"

_KNOWN = {
    "cerrojo: gateway hash": HASHES,
    "cerrojo: gateway login": "the gateway's login processes",
    "cerrojo: gateway operator": "the operator port",
    "cerrojo: worker partition": "the workers",
    "bench.contender": "the contender",
    "bench.hello": "hello",
}


class Usage:
    """From its making on, how much of the machine each part of the system took."""

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self._processes = {process: _part(process) for process in processes}
        self._before = self._cpu()
        self._machine = psutil.cpu_times()
        self._began = time.monotonic()

    def seconds(self) -> dict[str, float]:
        """Of CPU, by part; the largest first."""
        used = {part: now - self._before[part] for part, now in self._cpu().items()}
        return dict(sorted(used.items(), key=lambda item: -item[1]))

    def sentence(self, client: float) -> str:
        """The shares, in percent of all cores; `client` is the load's, as a part of one core."""
        seconds = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        shares = {part: used / seconds for part, used in self.seconds().items()}
        shares["the client"] = client / (os.cpu_count() or 1)
        ordered = sorted(shares.items(), key=lambda item: -item[1])
        after = psutil.cpu_times()
        idle = (after.idle + after.iowait - self._machine.idle - self._machine.iowait) / seconds
        others = 1 - idle - sum(shares.values())
        parts = [f"{part} {share:.0%}" for part, share in ordered if share >= 0.005]
        return (
            f"of all cores: {', '.join(parts)}; idle {max(0.0, idle):.0%}, "
            f"others and the kernel {max(0.0, others):.0%}"
        )

    def _cpu(self) -> dict[str, float]:
        used: dict[str, float] = defaultdict(float)
        for process, part in self._processes.items():
            try:
                used[part] += sum(process.cpu_times()[:2])
            except psutil.NoSuchProcess:  # it ended meanwhile, and with it what it used
                continue
        return used


def _part(process: psutil.Process) -> str:
    try:
        name, title = process.name(), " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return "others of ours"
    for sign, part in _KNOWN.items():
        if sign in title:
            return part
    return {"java": "Kafka", "postgres": "Postgres"}.get(name, "others of ours")
