"""The arithmetic of a plan, with round figures."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from bench import plan as command
from bench.plan_figures import Costs, load, save
from bench.planning import Assumptions, plan

COSTS = Costs(
    machine="a machine",
    commit="abc",
    cores=4,
    hash_core_ms=20.0,
    gateway_core_ms=1.0,
    kafka_core_ms=0.2,
    lookup_core_ms=0.03,
    commit_core_ms=0.02,
    worker_core_ms=0.05,
    worker_attempts_per_second=10_000.0,
    postgres_attempts_per_second=25_000.0,
    logins_per_second=180.0,
)
ASSUMED = Assumptions(busy=0.5, host_cores=8)


def test_cores_are_what_each_part_takes_of_a_second() -> None:
    """Twice that, where a core may be half busy."""
    made = plan(1_000, COSTS, ASSUMED)
    assert [round(need.cores, 6) for need in made.needs] == [40.0, 2.0, 0.1, 0.4, 0.1]
    assert made.cores == pytest.approx(42.6)


def test_servers_are_whole_and_enough() -> None:
    """Each may be as busy as is assumed."""
    said = [need.servers for need in plan(100_000, COSTS, ASSUMED).needs]
    assert said[1].startswith("525 login processes on 525 hosts")  # (4,000 + 200) / 8 cores
    assert said[2].startswith("20 partitions")
    assert said[3].startswith("5 brokers")
    assert said[4].startswith("8 servers")


def test_a_small_load_needs_one_of_each_and_three_brokers() -> None:
    """So that one broker may die."""
    said = [need.servers for need in plan(1, COSTS, ASSUMED).needs]
    assert said[1].startswith("1 login processes on 1 hosts")
    assert said[2].startswith("1 partitions")
    assert said[3].startswith("3 brokers")
    assert said[4].startswith("1 servers")


def test_a_day_has_24_hours_of_its_shape() -> None:
    """However many shares say what shape."""
    made = plan(1_000, COSTS, Assumptions(0.5, 8, day=(1.0, 0.5, 0.0)))
    assert made.core_hours_kept_up == pytest.approx(24 * 42.6)
    assert made.core_hours_following == pytest.approx(12 * 42.6)


@pytest.mark.parametrize(
    ("logins", "first"),
    [(1_000, None), (12_000, None), (13_000, "one Postgres"), (6_000_000, "one Postgres")],
)
def test_postgres_gives_first(logins: float, first: str | None) -> None:
    """Its 25,000/s at half of it, where eight partitions do 40,000/s; hosts are added before."""
    gives = plan(logins, COSTS, ASSUMED).gives_first
    assert (gives and gives.what[: len("one Postgres")]) == first


def test_the_default_partitions_may_give_first() -> None:
    """Where a worker is slow, more of them are the way."""
    slow = msgspec.structs.replace(COSTS, worker_attempts_per_second=1_000.0)
    gives = plan(5_000, slow, ASSUMED).gives_first
    assert gives
    assert "8 partitions" in gives.what
    assert "resize" in gives.then


def test_figures_are_read_as_they_were_written(tmp_path: Path) -> None:
    """And those that are given stand in the place of the measured ones."""
    path = save(COSTS, tmp_path / "new")
    assert load(path) == COSTS


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The output of the command."""
    monkeypatch.setattr(sys, "argv", ["plan", *words])
    assert command.main() == 0
    return capsys.readouterr().out


def test_figures_that_are_given_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before those in the file, or without any file."""
    file = save(COSTS, tmp_path)
    words = "1000", "--json", "--host-cores", "8", "--busy", "0.5", "--hash-core-ms", "40"
    from_file = told(monkeypatch, capsys, *words, "--figures", str(file))
    assert msgspec.json.decode(from_file)["needs"][0]["cores"] == pytest.approx(80.0)
    given = [
        word
        for name in command.FIGURES
        if name != "hash_core_ms"
        for word in (f"--{name.replace('_', '-')}", str(getattr(COSTS, name)))
    ]
    assert told(monkeypatch, capsys, *words, *given) == from_file


@pytest.mark.parametrize("content", [None, "{}", "nothing"])
def test_a_file_without_figures_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    """In the sentence that the command ends with."""
    path = tmp_path / "costs.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(sys, "argv", ["plan", "1", "--figures", str(path)])
    with pytest.raises(SystemExit, match=r"costs\.json cannot be used"):
        command.main()


def test_the_knee_says_how_many_cores_there_are_in_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the capacity finder writes it."""
    knee = tmp_path / "capacity.json"
    knee.write_text('{"logins_per_second_per_core": 25.0}')
    words = "1000", "--figures", str(save(COSTS, tmp_path)), "--capacity", str(knee)
    assert "40 cores in all" in told(monkeypatch, capsys, *words)
    knee.write_text('{"logins_per_second_per_core": null}')
    with pytest.raises(SystemExit, match=r"capacity\.json has no knee"):
        told(monkeypatch, capsys, *words)
