"""The fastest build of Argon2 that this CPU can run.

The wheel of Argon2's bindings is built for every x86-64 there is. The same source, built for the
level of this CPU, gives the same hashes in a third of the time [measured]. Such builds lie beside
the environment's packages, a folder for each level (:mod:`local.argon2` makes them), and a process
that hashes takes the fastest one by the flags of the CPU that it runs on, wherever it was built.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from base64 import urlsafe_b64encode
from collections.abc import Collection
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import structlog

logger = structlog.get_logger()

BUILDS = Path(sys.prefix) / "share" / "cerrojo" / "argon2"
"""A folder for each level that this environment has a build for, named after the level."""

PROJECT = "argon2-cffi-bindings"
PACKAGE = "_argon2_cffi_bindings"

WHEEL = "wheel"
"""The name of the build that came with the other packages, and runs on any CPU."""

LEVELS = {
    "x86-64-v3": frozenset(
        {
            *("cx16", "lahf_lm", "popcnt", "pni", "ssse3", "sse4_1", "sse4_2"),  # of v2
            *("abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"),
        }
    )
}
"""The flags of a CPU, by Linux' names, that each level of the x86-64 psABI needs; fastest first.

AVX-512 was no faster than v3 [measured].
"""

ANSWER = "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"
"""Of "password" with the salt "somesalt", in the reference implementation's own tests."""


class Build(NamedTuple):
    """A build of Argon2."""

    name: str
    """The level of CPU for which it was built, or WHEEL."""
    version: str
    """Of Argon2's bindings."""


def use_fastest() -> Build:
    """Load the fastest build that this CPU can run; the one in use.

    Call it before anything imports `argon2`, which keeps what was loaded first. A build that is
    there and cannot be used is passed over, with a warning.
    """
    there = [level for level in LEVELS if (BUILDS / level).is_dir()]
    for level in choose(cpu_flags(), there) if PACKAGE not in sys.modules else []:
        try:
            load(BUILDS / level)
            break
        except ImportError as error:
            logger.warning(
                "A build of Argon2 cannot be used, and a slower one is. Make it anew "
                "(python -m local.argon2), or the image",
                build=level,
                error=str(error),
            )
    return in_use()


def choose(flags: Collection[str], there: Collection[str]) -> list[str]:
    """Those of the levels that are there which a CPU with these flags can run, fastest first."""
    return [level for level, needed in LEVELS.items() if level in there and needed <= set(flags)]


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The flags that every processor of this machine has; none where they cannot be known."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return frozenset()
    found = [frozenset(line.split(":")[1].split()) for line in lines if line.startswith("flags")]
    return frozenset.intersection(*found) if found else frozenset()


def load(folder: Path) -> None:
    """Load the build in this folder, for `argon2` to find. Raises ImportError, and nothing is kept.

    A build of another version is of another source than the wheel, as when the packages were
    updated since. A library that is cut off would end the process that loads it. A build that gives
    other hashes would refuse every right password.
    """
    found, expected = _version(folder), metadata.version(PROJECT)
    if found != expected:
        raise ImportError(f"it is of {found}, and {expected} is installed")
    if damaged := _damaged(folder):
        raise ImportError(f"{damaged} is not as it was built")
    sys.path.insert(0, str(folder))
    try:
        bindings = importlib.import_module(PACKAGE)
        if _hash(bindings) != ANSWER:
            raise ImportError("it gives a wrong hash")
    except Exception as error:
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]
        raise ImportError(str(error)) from error
    finally:
        sys.path.remove(str(folder))


def in_use() -> Build:
    """The build that this process hashes with."""
    bindings = importlib.import_module(PACKAGE)
    folder = Path(str(bindings.__file__)).parents[1]
    if folder.parent == BUILDS:
        return Build(folder.name, _version(folder))
    return Build(WHEEL, metadata.version(PROJECT))


def _version(folder: Path) -> str:
    """Of the build in this folder."""
    for found in metadata.distributions(name=PROJECT, path=[str(folder)]):
        return found.version
    return "no version"


def _damaged(folder: Path) -> str | None:
    """The first file of this build that is missing or is not what its list says; None if all is."""
    for found in metadata.distributions(name=PROJECT, path=[str(folder)]):
        for file in found.files or []:
            if file.hash is None:  # what Python and pip write on their own
                continue
            path = Path(str(file.locate()))
            digest = hashlib.new(file.hash.mode, path.read_bytes() if path.is_file() else b"")
            if urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() != file.hash.value:
                return str(file)
    return None


def _hash(bindings: object) -> str:
    """The hash that these bindings make of a password."""
    ffi, lib = bindings.ffi, bindings.lib  # type: ignore[attr-defined]
    out = ffi.new("uint8_t[]", 32)
    lib.argon2_hash(
        *(2, 256, 1),  # passes, KiB, lanes
        *(b"password", 8, b"somesalt", 8),
        *(out, len(out)),
        *(ffi.NULL, 0),
        *(lib.Argon2_id, lib.ARGON2_VERSION_13),
    )
    return bytes(out).hex()
