"""What the kept processes use, and when certificates end, is in the metrics."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from processes.host_metrics import LOOK_SECONDS, HostMetrics, Used, read_process
from settings import Settings

CPU = "cerrojo_process_cpu_seconds_total"
MEMORY = "cerrojo_process_memory_bytes"
END = "cerrojo_certificate_end_timestamp_seconds"


def value(name: str, **labels: str) -> float:
    """This sample as it is now; 0 where there is none."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


class World:
    """Processes as /proc would show them, and a clock."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.now = 100.0
        self.used: dict[int, Used] = {}
        self.metrics = HostMetrics(
            settings or Settings(), clock=lambda: self.now, read=lambda pid: self.used.get(pid)
        )

    def look(self, *pids: int | None) -> float:
        """Look at these workers, and give the processor time that this has counted."""
        before = value(CPU, role="worker")
        self.metrics.look({"worker": pids})
        self.now += LOOK_SECONDS
        return value(CPU, role="worker") - before


def test_processes_of_a_role_are_added_up() -> None:
    """The page has one series for each role, however many processes it has."""
    world = World()
    world.used = {7: Used(1, 2.0, 1000), 8: Used(1, 0.5, 500)}
    assert world.look(7, 8, None, 9) == pytest.approx(2.5)
    assert value(MEMORY, role="worker") == 1500
    world.used[7] = Used(1, 2.25, 3000)
    assert world.look(7, 8) == pytest.approx(0.25)
    assert value(MEMORY, role="worker") == 3500


def test_a_successor_with_the_same_pid_counts_from_its_start() -> None:
    """A counter never goes back, and nothing that the successor used is left out."""
    world = World()
    world.used = {7: Used(1, 50.0, 1000)}
    world.look(7)
    world.used = {7: Used(2, 0.5, 400)}
    assert world.look(7) == pytest.approx(0.5)
    world.used = {}
    assert world.look(7) == 0
    assert value(MEMORY, role="worker") == 0


def test_a_supervisor_that_steps_often_looks_seldom() -> None:
    """The workers' one steps twenty times a second."""
    world = World()
    world.used = {7: Used(1, 1.0, 1000)}
    world.look(7)
    world.now -= LOOK_SECONDS / 2
    world.used = {7: Used(1, 9.0, 1000)}
    assert world.look(7) == 0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system is no Linux")
def test_a_process_is_read_as_the_kernel_says_it() -> None:
    """Of this process both are known otherwise, too."""
    before = os.times()
    used = read_process(os.getpid())
    assert used is not None
    assert used.cpu_seconds == pytest.approx(before.user + before.system, abs=0.5)
    assert 1_000_000 < used.memory_bytes < 2**40
    assert read_process(2**22 + 1) is None  # more than any pid


def test_the_end_of_a_certificate_is_shown(tmp_path: Path) -> None:
    """By the setting that names it; the settings that are not set have no series."""
    end = datetime(2031, 5, 6, tzinfo=UTC)
    authority, sooner = trustme.CA(), trustme.CA()
    own = authority.issue_cert("client", not_after=end)
    chain, authorities = tmp_path / "client.pem", tmp_path / "ca.pem"
    own.cert_chain_pems[0].write_to_path(str(chain))
    sooner.cert_pem.write_to_path(str(authorities))
    settings = Settings(
        kafka_security_protocol="SSL",
        kafka_ca_file=authorities,
        kafka_certificate_file=chain,
        kafka_key_file=chain,
    )
    World(settings).look()
    assert value(END, setting="CERROJO_KAFKA_CERTIFICATE_FILE") == end.timestamp()
    assert value(END, setting="CERROJO_KAFKA_CA_FILE") > end.timestamp()
    assert REGISTRY.get_sample_value(END, {"setting": "CERROJO_KAFKA_OAUTH_CA_FILE"}) is None


def test_a_certificate_that_cannot_be_read_is_said_now_and_then(tmp_path: Path) -> None:
    """Not every two seconds; and the rest is shown all the same."""
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing")
    world = World(Settings(kafka_security_protocol="SSL", kafka_ca_file=bad))
    with capture_logs() as lines:
        world.look()
        world.look()
    assert [line["setting"] for line in lines] == ["CERROJO_KAFKA_CA_FILE"]
    assert value("cerrojo_disk_free_bytes", folder="temporary") > 0
