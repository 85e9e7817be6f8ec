"""Stops what a killed run left behind, recognised by its pid, start time and boot.

A record is a small file with a session's pid, the kernel's start time of its
leader and the boot it belongs to. A pid that now belongs to another process is
never signalled.

/proc is read here and not by psutil. psutil's `create_time()` adds the boot's
time of the day, which moves when the clock is set: a recorded process would be
taken for a stranger, and a Kafka be left on its data. The kernel's ticks since
the boot never change, and psutil gives them by a private call only. It would
save some ten lines, and be one more package in the runtime image.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, unquote

LOOK_AGAIN_SECONDS = 0.05
"""Between looks at a session whose processes cannot be waited for."""

KILL_SECONDS = 10.0
"""For SIGKILL to end a process: a big one may need a while to give its memory back."""


class OrphanError(Exception):
    """Something of an earlier run cannot be stopped."""


def path(records: Path, name: str) -> Path:
    """The record's file of the process of this name."""
    return records / (quote(name, safe=" ") + ".pid")


def record(file: Path, pid: int) -> None:
    """Note a session's leader. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(f"{pid}\n{_start(pid)}\n{_boot()}\n")
    new.replace(file)


def stop_all(records: Path, grace: float) -> list[str]:
    """Stop what the records of a directory name; returns the names of what was stopped."""
    files = sorted(records.glob("*.pid")) if records.is_dir() else []
    with ThreadPoolExecutor(max(1, len(files))) as pool:  # the grace is over for all at once
        stopped = list(pool.map(lambda file: stop(file, grace), files))
    return [unquote(file.stem) for file, was in zip(files, stopped, strict=True) if was]


def stop(file: Path, grace: float) -> bool:
    """Stop the recorded session if it is still the same one, and remove the record.

    SIGTERM to the leader, or to all if it is dead; SIGKILL to all after `grace`
    seconds. Returns, when all are gone, whether there was something to stop. Raises
    OrphanError where something survives even that.
    """
    try:
        number, start, boot = file.read_text().splitlines()
        pid = int(number)
    except FileNotFoundError:
        return False
    except ValueError:  # cut off in the middle of its writing
        file.unlink(missing_ok=True)
        return False
    members = _members(pid, start) if boot == _boot() else []
    for member in [pid] if pid in members else members:
        _signal(member, signal.SIGTERM)
    survivors = _wait(pid, start, members, time.monotonic() + grace)
    killed = time.monotonic()
    while survivors:
        for member in survivors:
            _signal(member, signal.SIGKILL)
        survivors = _wait(pid, start, survivors, time.monotonic() + 1.0)
        if survivors and time.monotonic() - killed > KILL_SECONDS:
            raise OrphanError(
                f"Process {survivors[0]}, which an earlier run left behind ({file}), survives "
                "SIGKILL: it hangs in the kernel, mostly on a disk. It has to go before a new "
                "start."
            )
    file.unlink(missing_ok=True)
    return bool(members)


def _wait(pid: int, start: str, members: list[int], deadline: float) -> list[int]:
    """Those of the session that still live at the deadline."""
    while members and time.monotonic() < deadline:
        _wait_one(members[0], deadline - time.monotonic())
        members = _members(pid, start)
    return members


def _wait_one(pid: int, timeout: float) -> None:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):  # not Linux, or an old one
        time.sleep(LOOK_AGAIN_SECONDS)
        return
    try:
        select.select([fd], [], [], max(0.0, timeout))
    finally:
        os.close(fd)


def _members(session: int, start: str) -> list[int]:
    """The living processes of a session, as long as its leader's pid is not someone else's.

    A session's number is not given away while one of it lives, also when its leader is dead.
    """
    now = _start(session)
    if now and now != start:
        return []
    if not Path("/proc/self/stat").exists():
        return [session] if now else []
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if _session(pid) == session]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on, which follow the name in brackets.

    None of what /proc hides from an ordinary user (`hidepid`), as that is another user's.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []
    return fields if fields and fields[0] not in "ZX" else []  # a zombie is dead


def _session(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[3]) if fields else None


def _start(pid: int) -> str:
    """The kernel's start time of a living process, or nothing."""
    if Path("/proc/self/stat").exists():
        fields = _stat(pid)
        return fields[19] if fields else ""
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return "unknown"


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
