"""Kafka's jars: pinned in `jars.lock`, downloaded with jgo, checked at every start."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from local.errors import LocalError
from local.progress import ProgressReporter

LOCK = Path(__file__).with_name("jars.lock")
KAFKA_VERSION = "4.3.1"
KAFKA = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
# The logging of Kafka's own distribution; without it the broker logs nothing. Its dependencies are
# among Kafka's jars, so it is added unresolved: resolved together, its versions would win.
LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
DOWNLOADS_AT_ONCE = 6
SCRATCH = ".download-"
FULL = (errno.ENOSPC, errno.EDQUOT)


class Jar(NamedTuple):
    """One file: its Maven coordinate, and the checksum that it must have."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int  # bytes

    @property
    def coordinate(self) -> str:
        """`group:artifact:version`."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def filename(self) -> str:
        """The file's name in the cache; the group keeps equal names apart."""
        return f"{self.group}.{self.artifact}-{self.version}.jar"


def locked(lock: Path = LOCK) -> list[Jar]:
    """The jars of the lock file, in the order of the class path.

    Raises :class:`LocalError` for a line that is not `group:artifact:version sha256 bytes`.
    """
    lines = enumerate(lock.read_text(encoding="ascii").splitlines(), 1)
    return [_parse(lock, number, line) for number, line in lines if line and line[0] != "#"]


def paths(cache: Path) -> list[Path]:
    """Where the jars are in `cache`, in the order of the class path."""
    return [cache / "jars" / jar.filename for jar in locked()]


def present(cache: Path, lock: Path = LOCK) -> bool:
    """Whether all are in `cache`, each with its checksum."""
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        return not _missing(pool, cache / "jars", locked(lock))


def ensure(cache: Path, progress: ProgressReporter, lock: Path = LOCK) -> None:
    """Download the jars that are missing or damaged in `cache`.

    Every checksum is compared every time (0.1 s for 44 MB). Raises :class:`LocalError` where a
    download fails or does not have the locked checksum.
    """
    jars = locked(lock)
    folder = cache / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        if _missing(pool, folder, jars):
            with _only_one(folder):
                # Another process may have downloaded some meanwhile.
                _download(pool, folder, _missing(pool, folder, jars), progress)


def make_lock(lock: Path = LOCK) -> list[Jar]:
    """Resolve :data:`KAFKA` again and write the lock file; the jars.

    Each download is compared with the checksum that the repository publishes. Raises
    :class:`LocalError` where it differs.
    """
    with tempfile.TemporaryDirectory(prefix="cerrojo-lock-") as scratch:
        context = _maven(Path(scratch))
        kafka, binding = (context.create_dependency(c) for c in (KAFKA, LOG_BINDING))
        _, transitive = context.resolver.resolve([kafka])
        needed = [kafka, binding, *(d for d in transitive if d.scope in ("compile", "runtime"))]
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            jars = sorted(set(pool.map(lambda d: _pin(d.artifact), needed)))
    lines = [f"# {KAFKA}, what it needs, and {LOG_BINDING}.", "# Made by `python -m local lock`."]
    lines += [f"{jar.coordinate} {jar.sha256} {jar.size}" for jar in jars]
    lock.write_text("\n".join(lines) + "\n", encoding="ascii")
    return jars


def _parse(lock: Path, number: int, line: str) -> Jar:
    try:
        coordinate, sha256, size = line.split(" ")
        group, artifact, version = coordinate.split(":")
        if len(bytes.fromhex(sha256)) == hashlib.sha256().digest_size:
            return Jar(group, artifact, version, sha256, int(size))
    except ValueError:
        pass
    raise LocalError(
        f"{lock}, line {number}: {line!r} is not `group:artifact:version sha256 bytes`. Write the "
        "file again with `python -m local lock`."
    )


def _maven(repository: Path, progress: ProgressReporter | None = None):  # type: ignore[no-untyped-def]
    # Imported here, because only a first start needs it. By default it writes to the home folder.
    from jgo.maven import MavenContext, PythonResolver

    return MavenContext(
        resolver=PythonResolver(progress_callback=progress.file if progress else None),
        repo_cache=repository,
        timeout=60,
    )


def _pin(artifact) -> Jar:  # type: ignore[no-untyped-def]
    content = artifact.resolve().read_bytes()
    published = artifact.component.artifact(packaging="jar.sha1").resolve()
    sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()  # no better one is published
    if published.read_text(encoding="ascii").split()[0] != sha1:
        raise LocalError(f"{artifact} does not have the checksum that its repository publishes.")
    sha256 = hashlib.sha256(content).hexdigest()
    return Jar(artifact.groupId, artifact.artifactId, artifact.version, sha256, len(content))


def _missing(pool: ThreadPoolExecutor, folder: Path, jars: list[Jar]) -> list[Jar]:
    sums = pool.map(lambda jar: _sha256(folder / jar.filename), jars)
    return [jar for jar, found in zip(jars, sums, strict=True) if found != jar.sha256]


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(
    pool: ThreadPoolExecutor, folder: Path, jars: list[Jar], progress: ProgressReporter
) -> None:
    for old in folder.glob(f"{SCRATCH}*"):  # of a process that was killed
        shutil.rmtree(old, ignore_errors=True)
    # In the same folder, so that a rename puts a complete and checked file in its place.
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix=SCRATCH))
    try:
        progress.download(sum(jar.size for jar in jars))
        context = _maven(scratch, progress)
        for _ in pool.map(lambda jar: _fetch(context, folder, jar), jars):
            pass
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fetch(context, folder: Path, jar: Jar) -> None:  # type: ignore[no-untyped-def]
    try:
        path = context.create_dependency(jar.coordinate).artifact.resolve()
    except Exception as error:  # jgo and requests have many kinds
        if isinstance(error, OSError) and error.errno in FULL:
            raise LocalError(
                f"Kafka's {jar.coordinate} could not be kept in {folder}: {error.strerror}. Make "
                "room there, or set CERROJO_CACHE_DIR to another directory, then start again."
            ) from error
        raise LocalError(
            f"Kafka's {jar.coordinate} could not be downloaded: {error}. Check the network and "
            "its proxy settings, then start again. Downloaded files are kept."
        ) from error
    found = _sha256(path)
    if found != jar.sha256:
        raise LocalError(
            f"The download of Kafka's {jar.coordinate} has the SHA-256 {found}, and "
            f"{LOCK.name} says {jar.sha256}. The file is not used. Try again if the network is "
            "yours; if it happens again, do not trust this network."
        )
    os.replace(path, folder / jar.filename)
