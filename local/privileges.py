"""Runs a program as another user, because Postgres refuses to run as root."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from typing import NamedTuple

from local.errors import LocalError

SERVICE_USER = "nobody"
# Either lets a program read below folders that are closed to others, such as root's home. The first
# does not permit writing; containers usually have the second.
CAPABILITIES = {"dac_read_search": 2, "dac_override": 1}


class Account(NamedTuple):
    """The numbers of a user and a group."""

    uid: int
    gid: int


def service_account() -> Account | None:
    """The user to run Postgres as: `nobody` if this process is root's, else its own user (None).

    Raises :class:`LocalError` where there is no user `nobody`.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        raise LocalError(
            f"PostgreSQL does not run as root, and this machine has no user {SERVICE_USER!r} to "
            "run it as. Start as an ordinary user, or set DATABASE_URL."
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def run_as(account: Account | None) -> list[str]:
    """The beginning of a command line with which root runs a command as `account`.

    The program may read everything that root may, so the folders above its files and data can stay
    as closed as they are. Raises :class:`LocalError` where `setpriv` is missing.
    """
    if account is None:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise LocalError(
            "PostgreSQL does not run as root, and `setpriv` (package util-linux) is missing to "
            "run it as another user. Install it, start as an ordinary user, or set DATABASE_URL."
        )
    capabilities = "-all"
    if capability := _capability():
        capabilities += f",+{capability}"
    return [
        setpriv,
        f"--reuid={account.uid}",
        f"--regid={account.gid}",
        "--clear-groups",
        "--pdeathsig=INT",  # the kernel clears this at a change of user
        "--securebits=+no_setuid_fixup",  # else access(2), which Postgres uses, ignores them
        f"--inh-caps={capabilities}",
        f"--ambient-caps={capabilities}",
        f"--bounding-set={capabilities}",
        "--",
    ]


def _capability() -> str | None:
    bounding = next(
        int(line.split()[1], 16)
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("CapBnd:")
    )
    return next((name for name, bit in CAPABILITIES.items() if bounding >> bit & 1), None)
