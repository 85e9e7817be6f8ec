"""Kafka keeps its ports and its data, and refuses those of another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import jars, kafka_aot
from local.errors import LocalError
from local.kafka import CLUSTER_ID, Kafka, nodes
from local.progress import ProgressReporter


def test_kafka_keeps_its_ports(tmp_path: Path) -> None:
    """The addresses are the same at the next start, and different from each other."""
    kafka = Kafka(tmp_path, tmp_path)
    kafka.reserve_ports()
    first = kafka.ports
    Kafka(tmp_path, tmp_path).reserve_ports()
    assert kafka.ports == first
    assert first.broker != first.controller


def test_the_broker_may_be_given_the_controllers_port(tmp_path: Path) -> None:
    """The controller then takes another one."""
    kafka = Kafka(tmp_path, tmp_path)
    kafka.reserve_ports()
    wanted = kafka.ports.controller
    kafka.reserve_ports(wanted)
    assert kafka.ports.broker == wanted != kafka.ports.controller


def test_kafka_leaves_a_port_that_someone_else_took(tmp_path: Path, taken: int) -> None:
    """A port that nobody asked for by name is no reason not to start."""
    kafka = Kafka(tmp_path, tmp_path)
    kafka.folder.mkdir()
    (kafka.folder / "ports").write_text(f"{taken} {taken}\n")
    kafka.reserve_ports()
    assert taken not in kafka.ports


@pytest.mark.parametrize("content", ["", "20001", "20001 x"])
def test_what_a_full_disk_cut_off_is_chosen_anew(tmp_path: Path, content: str) -> None:
    """Else no later start would get beyond it."""
    kafka = Kafka(tmp_path, tmp_path)
    kafka.folder.mkdir()
    for name in ("ports", CLUSTER_ID):
        (kafka.folder / name).write_text(content if name == "ports" else "")
    assert kafka.reserve_ports() == kafka.ports
    assert (kafka.folder / CLUSTER_ID).read_text()


@pytest.mark.parametrize("version", ["4.2.0", "5.0.0", None])
def test_data_of_another_kafka_is_refused(tmp_path: Path, version: str | None) -> None:
    """Both versions are named."""
    kafka = Kafka(tmp_path, tmp_path)
    (kafka.folder / "data").mkdir(parents=True)
    if version:
        (kafka.folder / "version").write_text(version)
    with pytest.raises(LocalError, match=f"is of Kafka {version or 'no version'}, and this is"):
        kafka.prepare(ProgressReporter())


def test_a_node_has_the_options_of_the_setting_last(tmp_path: Path) -> None:
    """So that they count: of two options for the same thing Java takes the last one."""
    [node] = nodes(tmp_path, tmp_path, 1, java_options="-Xmx1g '-Da=b c'")
    command = node.spec().command
    assert command.index("-Xmx512m") < command.index("-Xmx1g")
    assert "-Da=b c" in command


def test_what_is_there_is_prepared_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at each start but the first; what is missing, or another's, is left to the step."""
    kafka = Kafka(tmp_path, tmp_path)
    kafka.reserve_ports()
    assert not kafka.prepare_at_once()
    (kafka.folder / "data").mkdir()
    (kafka.folder / "version").write_text(jars.KAFKA_VERSION)
    assert not kafka.prepare_at_once()  # there are no jars
    monkeypatch.setattr(jars, "present", lambda _: True)
    assert not kafka.prepare_at_once()  # nor has Java seen it start
    monkeypatch.setattr(kafka_aot, "settled", lambda _: True)
    assert kafka.prepare_at_once()
    assert str(kafka.ports.broker) in (kafka.folder / "server.properties").read_text()
    (kafka.folder / "version").write_text("3.9.1")
    assert not kafka.prepare_at_once()
