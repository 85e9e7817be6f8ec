"""The unit tests mirror the packages, so that the tests of a module are found by its name."""

from __future__ import annotations

from pathlib import Path

from tests.paths import PROJECT

UNIT = PROJECT / "tests" / "unit"

OF_NO_MODULE = {
    "clients/python/test_package.py": "of the client as a package",
    "deployment": "of files that are no modules: compose.yml, Makefile, monitoring/",
    "docs": "of pages, and of the source as a whole",
    "gateway/web/resources/test_login_trouble.py": "of login.py, where something beside it fails",
    "loadtest/test_histories_mutants.py": "of histories.py, against a model that is broken",
}
"""Each folder and file that mirrors nothing, with the reason."""


def module_of(test: Path) -> Path:
    """The module of which this file is the test, below the project or below `tests`."""
    name = test.stem.removeprefix("test_")
    return test.with_name("__main__.py" if name == "main" else f"{name}.py")


def is_exempt(test: Path) -> bool:
    """Whether the list names this file or its folder."""
    return bool({str(test), *map(str, test.parents)} & OF_NO_MODULE.keys())


def test_each_unit_test_has_its_module() -> None:
    """Move the test beside its module's name, or give the reason in the list."""
    tests = [path.relative_to(UNIT) for path in UNIT.rglob("test_*.py")]
    lost = [
        str(test)
        for test in tests
        if not is_exempt(test)
        and not any((root / module_of(test)).exists() for root in (PROJECT, PROJECT / "tests"))
    ]
    assert len(tests) > 40
    assert lost == []


def test_no_exemption_is_left_over() -> None:
    """Each is of a folder or a file that is there."""
    assert [path for path in OF_NO_MODULE if not (UNIT / path).exists()] == []
