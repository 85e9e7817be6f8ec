"""The drawing of the packages in docs/architecture.md is what the source imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

from tests.paths import PROJECT

PAGE = PROJECT / "docs" / "architecture.md"
PACKAGES = [
    *("gateway", "gateway.web", "gateway.passwords", "gateway.admission"),
    *("gateway.kafka", "gateway.blocklist", "gateway.postgres"),
    *("workers", "workers.supervisor", "workers.partition", "workers.decision", "workers.commands"),
    "workers.relay",
    *("events", "processes", "sql", "local", "oracle", "cerrojo", "loadtest", "bench"),
    *("settings", "version"),
]
"""In the order of the table. Modules of a package that is missing here count as their parent's."""


def section() -> str:
    """The part of the page that is compared."""
    _, _, rest = PAGE.read_text().partition(
        "<!-- packages: a test compares this with the imports -->\n"
    )
    found, _, _ = rest.partition("<!-- /packages -->")
    assert found, f"The markers of the packages are missing in {PAGE.name}"
    return found


def levels() -> list[list[str]]:
    """The lines of the drawing, from the top."""
    _, drawing, _ = section().split("```")
    return [line.split() for line in drawing.strip().splitlines()]


def source() -> Iterator[Path]:
    """Every file of our own that is not a test."""
    for top in {name.partition(".")[0] for name in PACKAGES}:
        path = PROJECT / top
        yield from path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]


def imported(file: Path) -> Iterator[str]:
    """The modules that this file names in its imports, also in functions and for types only."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively; name the package"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def imports() -> frozenset[tuple[str, str]]:
    """Each module of ours with what it imports."""
    found = set()
    for file in source():
        parts = file.relative_to(PROJECT).with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        found |= {(module, name) for name in imported(file)}
    return frozenset(found)


def owner(module: str, names: Collection[str]) -> str | None:
    """The nearest of these names that the module is or is in; None for what is not ours."""
    while module and module not in names:
        module = module.rpartition(".")[0]
    return module or None


def edges(names: Collection[str]) -> set[tuple[str, str]]:
    """Which of these names import which others."""
    found = {(owner(module, names), owner(name, names)) for module, name in imports()}
    return {(one, other) for one, other in found if one and other and one != other}


def test_the_table_has_every_import_between_packages():
    """No more and no fewer; the message has the lines to write."""
    found = edges(PACKAGES)
    expected = []
    for package in PACKAGES:
        others = ", ".join(f"`{other}`" for other in PACKAGES if (package, other) in found)
        expected.append(f"| `{package}` | {others} |" if others else f"| `{package}` | |")
    rows = re.findall(r"^\| `.*$", section(), re.MULTILINE)
    wrong = [line for line in expected if line not in rows]
    assert rows == expected, f"Write in {PAGE.name}:\n" + "\n".join(wrong or expected)


def test_imports_lead_down_in_the_drawing():
    """A line imports from no line above it, and from no other name of its own line."""
    level = {name: number for number, line in enumerate(levels()) for name in line}
    upwards = {(one, other) for one, other in edges(level) if level[one] >= level[other]}
    assert not upwards, "Put these lower in the drawing: " + ", ".join(
        f"{other} (imported by {one})" for one, other in sorted(upwards)
    )


def test_the_drawing_has_every_package_once():
    """And no name that is no module of ours."""
    names = [name for line in levels() for name in line]
    files = {file.relative_to(PROJECT).with_suffix("").as_posix() for file in source()}
    modules = {path.removesuffix("/__init__").replace("/", ".") for path in files}
    assert sorted(names) == sorted(set(names))
    assert set(PACKAGES) <= set(names) <= modules
