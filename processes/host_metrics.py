"""What a supervisor shows of its host: its processes' use of it, disks, and ends of certificates.

prometheus_client leaves out what a process uses where several share a page, so the supervisor looks
at the processes that it keeps.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import structlog
from prometheus_client import Counter, Gauge

from processes.metrics import from_the_start
from settings import Settings, variable

LOOK_SECONDS = 2.0
"""Between looks at the processes: shorter than any scrape interval. What a process uses between the
last look at it and its death is not seen."""

CERTIFICATE_SECONDS = 600.0
"""Between looks at the certificates, which somebody may have replaced."""

ROLES = ("login", "operator", "hash", "worker", "standby", "relay", "supervisor")

CPU = from_the_start(
    Counter(
        "cerrojo_process_cpu_seconds",
        "Processor time of the kept processes and their supervisor, by role",
        ("role",),
    ),
    [(role,) for role in ROLES],
)
MEMORY = Gauge(
    "cerrojo_process_memory_bytes",
    "Resident memory of the kept processes and their supervisor, by role; what several share "
    "counts for each",
    ("role",),
    multiprocess_mode="livesum",
)
DISK_FREE = Gauge(
    "cerrojo_disk_free_bytes",
    "Free bytes of the disk with this folder: temporary has the files of these metrics, data all "
    "that `make up` keeps (Kafka and Postgres), where it started this process",
    ("folder",),
    multiprocess_mode="livemostrecent",
)
DISK_SIZE = Gauge(
    "cerrojo_disk_size_bytes",
    "Size of the disk with this folder",
    ("folder",),
    multiprocess_mode="livemostrecent",
)
CERTIFICATE_END = Gauge(
    "cerrojo_certificate_end_timestamp_seconds",
    "When the certificates of this setting end, where it is set: the first of a client's chain, "
    "the last of a list of CAs",
    ("setting",),
    multiprocess_mode="livemostrecent",
)

logger = structlog.get_logger()


class Used(NamedTuple):
    """What a process has used."""

    began: int
    """When it began; tells it from an earlier one with its pid."""
    cpu_seconds: float
    memory_bytes: int


def read_process(pid: int) -> Used | None:
    """What this process has used; None where it is dead, or the system is no Linux."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    ticks = int(fields[11]) + int(fields[12])  # as user and as kernel
    return Used(
        int(fields[19]),
        ticks / os.sysconf("SC_CLK_TCK"),
        int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
    )


class HostMetrics:
    """Brings the metrics of a supervisor's host up to date."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        read: Callable[[int], Used | None] = read_process,
    ) -> None:
        """Nothing is looked at yet."""
        self._settings = settings
        self._clock = clock
        self._read = read
        self._seen: dict[int, Used] = {}
        self._look_at = 0.0
        self._certificates_at = 0.0

    def look(self, pids: Mapping[str, Iterable[int | None]]) -> None:
        """Look at the processes of these roles, and all else, unless it was done just now."""
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        self._count({**pids, "supervisor": [os.getpid()]})
        self._measure_disks()
        if now >= self._certificates_at:
            self._certificates_at = now + CERTIFICATE_SECONDS
            self._read_certificates()

    def _count(self, pids: Mapping[str, Iterable[int | None]]) -> None:
        seen = {}
        for role, of_role in pids.items():
            cpu, memory = 0.0, 0
            for pid in of_role:
                used = None if pid is None else self._read(pid)
                if pid is None or used is None:
                    continue
                seen[pid] = used
                before = self._seen.get(pid)
                same = before is not None and before.began == used.began
                cpu += used.cpu_seconds - (before.cpu_seconds if before and same else 0.0)
                memory += used.memory_bytes
            CPU.labels(role).inc(max(0.0, cpu))
            MEMORY.labels(role).set(memory)
        self._seen = seen

    def _measure_disks(self) -> None:
        folders = {"data": self._settings.data_dir, "temporary": Path(tempfile.gettempdir())}
        for name, folder in folders.items():
            with contextlib.suppress(OSError):  # as the data directory, without `make up`
                disk = shutil.disk_usage(folder)
                DISK_FREE.labels(name).set(disk.free)
                DISK_SIZE.labels(name).set(disk.total)

    def _read_certificates(self) -> None:
        for name in ("kafka_certificate_file", "kafka_ca_file", "kafka_oauth_ca_file"):
            path = getattr(self._settings, name)
            if path is None:
                continue
            try:
                ends = _ends(path)
            except (OSError, ValueError) as error:
                logger.warning(
                    "A certificate cannot be read, so nobody is warned of its end",
                    setting=variable(name),
                    file=str(path),
                    reason=str(error),
                )
                continue
            end = min(ends) if name == "kafka_certificate_file" else max(ends)
            CERTIFICATE_END.labels(variable(name)).set(end)


def _ends(path: Path) -> list[float]:
    """When each certificate of this file ends. Raises OSError, or ValueError where it has none."""
    from cryptography import x509  # some megabytes, which few have a use for

    return [
        certificate.not_valid_after_utc.timestamp()
        for certificate in x509.load_pem_x509_certificates(path.read_bytes())
    ]
