"""A real Kafka and a real Postgres of our own: their addresses, and the data they keep."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from local import postgres
from local.errors import LocalError
from local.kafka import CHECKPOINT, Kafka
from local.privileges import SERVICE_USER, Account, run_as, service_account
from local.progress import ProgressReporter
from local.servers import Servers
from settings import load
from sql.roles import ROLES
from tests.kafka import reader
from tests.paths import PROJECT

STRANGER = next(  # an ordinary user that is not the one Postgres is run as by root
    Account(user.pw_uid, user.pw_gid)
    for user in pwd.getpwall()
    if user.pw_uid != 0 and user.pw_name != SERVICE_USER
)


def processes_of(servers: Servers, *, all_: bool = False) -> list[psutil.Process]:
    """The JVM and Postgres' first process; with `all_` also those that come and go."""
    wrappers = [psutil.Process(pid) for pid in servers.pids.values()]
    return [process for wrapper in wrappers for process in wrapper.children(recursive=all_)]


def test_nothing_listens_beyond_this_machine(servers: Servers) -> None:
    """Kafka listens on the loopback address only, and Postgres on no address at all."""
    listening = {
        (process.name(), connection.laddr.ip)
        for process in processes_of(servers)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("java", "127.0.0.1")}


def test_java_knows_how_kafka_starts(servers: Servers) -> None:
    """It uses what it saw at the start of another one, and has nothing to say of that."""
    (java,) = (process for process in processes_of(servers) if process.name() == "java")
    assert any(mapped.path.endswith(".aot") for mapped in java.memory_maps())
    assert "[aot" not in (_passfile(servers).parent / "logs" / "kafka.log").read_text()


def test_postgres_wants_the_password(servers: Servers) -> None:
    """Being on the same machine is not enough."""
    wrong = make_conninfo(servers.database_url, passfile="/dev/null", password="guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_the_password_is_in_a_private_file_only(servers: Servers) -> None:
    """Neither the connection string, nor a command line, nor a log has it."""
    url = servers.database_url
    passfile = _passfile(servers)
    passwords = {line.rpartition(":")[2] for line in passfile.read_text().splitlines()}
    assert len(passwords) == 1 + len(ROLES)
    assert stat.S_IMODE(passfile.stat().st_mode) == 0o600
    shown = [url, *(log.read_text() for log in (passfile.parent / "logs").iterdir())]
    for process in processes_of(servers):
        shown += [*process.cmdline(), *process.environ().values()]
    for password in passwords:
        assert not any(password in text for text in shown)


def test_commits_are_on_disk_and_the_role_is_no_superuser(servers: Servers) -> None:
    """Nothing is lost for speed, and an injected statement could not read files."""
    query = "SELECT current_setting('fsync'), current_setting('synchronous_commit'), rolsuper"
    with psycopg.connect(servers.database_url) as connection:
        row = connection.execute(f"{query} FROM pg_roles WHERE rolname = user").fetchone()
    assert row == ("on", "on", False)


def test_the_broker_logs_and_makes_no_topics_by_itself(servers: Servers) -> None:
    """A topic with wrong settings never comes into being because somebody asked for it."""
    refused: list[KafkaError | None] = []
    producer = Producer(
        {
            "bootstrap.servers": servers.kafka_bootstrap_servers,
            "topic.metadata.propagation.max.ms": 2000,  # time enough to make one
        }
    )
    producer.produce("nobody-made-this", b"1", on_delivery=lambda error, _: refused.append(error))
    producer.flush(30)
    assert [error and error.code() for error in refused] == [KafkaError.UNKNOWN_TOPIC_OR_PART]
    log = _passfile(servers).parent / "logs" / "kafka.log"
    assert "started" in log.read_text()


@pytest.fixture
def unformatted(servers: Servers, cache_dir: Path, tmp_path: Path) -> Path:
    """A cache with the jars, from before Kafka formatted anything."""
    cache = tmp_path / "cache"
    cache.mkdir()
    for found in cache_dir.iterdir():
        if CHECKPOINT not in found.name:
            (cache / found.name).symlink_to(found)
    return cache


def formatted(data_dir: Path, cache: Path) -> dict[str, str]:
    """The ids of a Kafka that is prepared there."""
    kafka = Kafka(data_dir, cache, java_options=load().kafka_java_options)
    kafka.reserve_ports()
    kafka.prepare(ProgressReporter())
    lines = (kafka.folder / "data" / "meta.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def test_every_cluster_id_can_be_formatted(
    tmp_path: Path, unformatted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One random id in 64 begins with a dash, and must not be taken for an option."""
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(bytes=b"\xf8" + bytes(15)))
    assert formatted(tmp_path, unformatted)["cluster.id"].startswith("-")


def test_only_the_first_data_of_a_version_is_formatted_by_java(
    tmp_path: Path, unformatted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it writes is kept; the ids are new each time. The tests' other Kafkas start with it."""
    first = formatted(tmp_path / "first in España", unformatted)
    monkeypatch.setattr(subprocess, "run", None)
    second = formatted(tmp_path / "second", unformatted)
    same = {"node.id", "version"}
    assert {key for key in first if first[key] == second[key]} == same
    assert second.keys() == first.keys() == same | {"cluster.id", "directory.id"}


def test_everything_comes_back_after_a_kill_of_everything(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and records that were acknowledged are there, at the same address.

    Also where the folder has a name that Java can neither read nor open by itself.
    """
    monkeypatch.setenv("LC_ALL", "POSIX")
    addresses = set()
    for turn in range(2):
        servers = Servers(tmp_path / "señal", cache_dir)
        servers.start()
        addresses.add((servers.database_url, servers.kafka_bootstrap_servers))
        assert _rows(servers) == turn
        assert _records(servers, first=turn == 0) == turn
        _write(servers)
        processes = processes_of(servers, all_=True)
        servers.kill()
        assert psutil.wait_procs(processes, timeout=30)[1] == []
    assert len(addresses) == 1


def test_a_failure_is_told_and_leaves_nothing(tmp_path: Path, cache_dir: Path) -> None:
    """The reason is in the error, and neither of the two keeps running."""
    (tmp_path / "kafka" / "data").mkdir(parents=True)
    with pytest.raises(LocalError, match="is of Kafka no version"):
        Servers(tmp_path, cache_dir).start()
    assert not list((tmp_path / "run").glob("*.pid"))
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()


@pytest.fixture
def closed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that only its owner may enter, as root's home is, with Postgres' binaries in it."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    package = postgres.BINARIES.parents[1]
    for part in (package, package.with_name(package.name + ".libs")):
        if part.exists():
            shutil.copytree(part, folder / part.name, symlinks=True)
    binaries = folder / postgres.BINARIES.relative_to(package.parent)
    monkeypatch.setattr(postgres, "BINARIES", binaries)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")  # Kafka is not needed here
    return folder


def test_postgres_runs_beneath_a_closed_folder(closed_folder: Path) -> None:
    """As root it runs as a user who has no way in, and no folder is opened for that user."""
    folders = [closed_folder, *closed_folder.parents]
    before = [folder.stat() for folder in folders]
    with Servers(closed_folder / "data") as servers:
        with psycopg.connect(servers.database_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        users = {process.uids().effective for process in processes_of(servers)}
    account = service_account()
    assert users == {account.uid if account else os.geteuid()}
    assert 0 not in users
    after = [folder.stat() for folder in folders]
    assert [(s.st_mode, s.st_uid) for s in after] == [(s.st_mode, s.st_uid) for s in before]


def test_a_lock_of_a_dead_postgres_is_not_in_the_way(closed_folder: Path) -> None:
    """Its pid may have gone to a stranger since, whom Postgres would take for its former self."""
    data_dir = closed_folder / "data"
    with Servers(data_dir):
        pass
    command = [*run_as(service_account()), sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as stranger:
        for name in ("postmaster.pid", f"{postgres.SOCKET}.lock"):
            lock = data_dir / "postgres" / name
            lock.write_text(f"{stranger.pid}\n{data_dir / 'postgres'}\n0\n5432\n.\n\n")
        with Servers(data_dir) as servers, psycopg.connect(servers.database_url):
            assert stranger.poll() is None
        stranger.communicate(b"\n")


def test_postgres_runs_for_an_ordinary_user(tmp_path: Path) -> None:
    """Without root it runs as whoever started it, in a folder that is closed to all others."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    # Where this test is root's, a stranger plays the ordinary user: root's files stay readable
    # to it by a capability, which is what `run_as` gives.
    prefix = run_as(STRANGER) if os.geteuid() == 0 else []
    if prefix:
        os.chown(home, *STRANGER)
    code = (
        "import os, sys, psycopg\nfrom pathlib import Path\nfrom local.servers import Servers\n"
        "with Servers(Path(sys.argv[1])) as servers:\n"
        "    row = psycopg.connect(servers.database_url).execute('SELECT user').fetchone()\n"
        "    owner = (Path(sys.argv[1]) / 'postgres').stat().st_uid\n"
        "    print(row[0], owner == os.geteuid() != 0)\n"
    )
    done = subprocess.run(
        [*prefix, sys.executable, "-c", code, str(home / "data")],
        cwd=PROJECT,
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("cerrojo True\n", 0), done.stderr


def test_a_missing_setpriv_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person as root on a small system reads what to install, or what else to do."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LocalError, match=r"`setpriv` \(package util-linux\) is missing"):
        run_as(STRANGER)


def _passfile(servers: Servers) -> Path:
    return Path(str(conninfo_to_dict(servers.database_url)["passfile"]))


def _rows(servers: Servers) -> int:
    with psycopg.connect(servers.database_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (turn integer)")
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert row
    return int(row[0])


def _records(servers: Servers, first: bool) -> int:
    if first:
        admin = AdminClient({"bootstrap.servers": servers.kafka_bootstrap_servers})
        admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(30)
    consumer = reader(servers.kafka_bootstrap_servers)
    due = time.monotonic() + 60
    try:
        while True:
            try:
                low, high = consumer.get_watermark_offsets(TopicPartition("kept", 0), timeout=30)
            except KafkaException:  # a topic is made before its partitions have leaders
                if time.monotonic() > due:
                    raise
                time.sleep(0.05)
            else:
                return int(high - low)
    finally:
        consumer.close()


def _write(servers: Servers) -> None:
    with psycopg.connect(servers.database_url) as connection:
        connection.execute("INSERT INTO kept VALUES (1)")
    producer = Producer({"bootstrap.servers": servers.kafka_bootstrap_servers, "acks": "all"})
    producer.produce("kept", b"1")
    assert producer.flush(30) == 0
