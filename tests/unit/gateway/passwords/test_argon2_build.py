"""Which build of Argon2 is chosen, and that a bad one is none."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from gateway.passwords.argon2_build import LEVELS, PACKAGE, PROJECT, WHEEL, choose, cpu_flags
from tests.paths import PROJECT as ROOT

V3 = "x86-64-v3"
CPUINFO = "processor\t: {}\nmodel name\t: a CPU\nflags\t\t: {}\nbugs\t\t: none\n\n"

USE = f"""
import pathlib, sys
from gateway.passwords import argon2_build
argon2_build.BUILDS = pathlib.Path(sys.argv[1])
argon2_build.cpu_flags = lambda: argon2_build.LEVELS["{V3}"]
if "late" in sys.argv:
    import argon2
used = argon2_build.use_fastest()
import argon2
stored = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("a password")
assert argon2.PasswordHasher().verify(stored, "a password")
assert argon2_build.in_use() == used
assert sys.argv[1] not in sys.path
print("used:", *used)
"""


def test_a_level_is_chosen_where_the_cpu_has_all_of_it() -> None:
    """And only where there is a build for it."""
    flags = LEVELS[V3] | {"avx512f", "sse2"}
    assert choose(flags, [V3]) == [V3]
    assert choose(flags, []) == []


@pytest.mark.parametrize("missing", sorted(LEVELS[V3]))
def test_a_level_is_not_chosen_where_the_cpu_lacks_a_part_of_it(missing: str) -> None:
    """Its first such instruction would end the process."""
    assert choose(LEVELS[V3] - {missing}, [V3]) == []


def test_a_level_needs_what_its_instructions_need() -> None:
    """Those of the psABI's x86-64-v3; Linux says abm for lzcnt, and no avx without osxsave."""
    named = "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
    assert LEVELS[V3] >= set(named.split())


def test_flags_are_what_every_processor_has(tmp_path: Path) -> None:
    """A thread may run on any of them."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(CPUINFO.format(0, "fpu avx avx2") + CPUINFO.format(1, "fpu avx"))
    assert cpu_flags(cpuinfo) == {"fpu", "avx"}


def test_where_the_flags_cannot_be_known_there_are_none(tmp_path: Path) -> None:
    """As on aarch64, which has "Features", and on systems that are no Linux."""
    cpuinfo = tmp_path / "cpuinfo"
    assert cpu_flags(cpuinfo) == set()
    cpuinfo.write_text("processor\t: 0\nFeatures\t: fp asimd aes\n")
    assert cpu_flags(cpuinfo) == set()


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A build that runs on any CPU: the wheel's files where a build would be."""
    wheel = metadata.distribution(PROJECT)
    folder = tmp_path / V3
    for file in wheel.files or []:
        if ".." not in file.parts and "__pycache__" not in file.parts:
            place = folder / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(wheel.locate_file(file)), place)
    return folder


def use(built: Path, *how: str) -> str:
    """The output of a process that finds this build beside its packages."""
    command = [sys.executable, "-c", USE, str(built.parent), *how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_build_is_used(built: Path) -> None:
    """By argon2, too, and without a place in the path of all imports."""
    assert use(built) == f"used: {V3} {metadata.version(PROJECT)}\n"


def test_what_was_loaded_first_is_what_is_said(built: Path) -> None:
    """The metric says what hashes, and not what should have."""
    assert use(built, "late") == f"used: {WHEEL} {metadata.version(PROJECT)}\n"


def cut_off(folder: Path) -> None:
    """As by a disk that was full."""
    (library,) = (folder / PACKAGE).glob("*.so")
    library.write_bytes(library.read_bytes()[:1000])


def of_another_version(folder: Path) -> None:
    """As before an update of the packages."""
    (about,) = folder.glob("*.dist-info/METADATA")
    about.write_text(about.read_text().replace(metadata.version(PROJECT), "0.1"))


def with_a_wrong_answer(folder: Path) -> None:
    """As by a compiler with a bug."""
    package = folder / PACKAGE / "__init__.py"
    package.write_text(
        "from types import SimpleNamespace\n"
        "from ._ffi import ffi, lib\n"
        "real = lib\n"
        "names = {name: getattr(real, name) for name in dir(real)}\n"
        "names['argon2_hash'] = lambda passes, *rest: real.argon2_hash(passes + 1, *rest)\n"
        "lib = SimpleNamespace(**names)\n"
    )
    (files,) = folder.glob("*.dist-info/RECORD")
    files.write_text(re.sub(r"(__init__\.py),.*", r"\1,,", files.read_text()))


def without_its_package(folder: Path) -> None:
    """Remove the package that it was listed as."""
    shutil.rmtree(folder / PACKAGE)


def without_anything(folder: Path) -> None:
    """An empty folder."""
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut_off, "_ffi.abi3.so is not as it was built"),
        (of_another_version, "it is of 0.1, and"),
        (with_a_wrong_answer, "it gives a wrong hash"),
        (without_its_package, "is not as it was built"),
        (without_anything, "it is of no version"),
    ],
)
def test_a_bad_build_is_passed_over(built: Path, damage: Callable[[Path], None], said: str) -> None:
    """With a warning that says why; the wheel hashes as ever."""
    damage(built)
    *warning, last = use(built).splitlines()
    assert last == f"used: {WHEEL} {metadata.version(PROJECT)}"
    assert "A build of Argon2 cannot be used" in warning[0]
    assert said in warning[0]
