"""What the client is as a package."""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from pathlib import Path

import pytest

from tests.paths import PROJECT

PACKAGE = PROJECT / "clients" / "python" / "cerrojo_client"
MODULES = sorted(PACKAGE.glob("*.py"))

FRAMEWORKS = {
    "django": {"django", "asgiref"},
    "django_middleware": {"django"},
    "flask": {"flask"},
    "starlette": {"starlette"},
}
"""What a module may import beside the standard library, httpx and the package; asgiref is
Django's own dependency."""

LINES = 40


def imported(module: Path) -> set[str]:
    """The packages that it imports."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return {name.partition(".")[0] for name in found}


def lines_of_code(module: Path) -> int:
    """Lines that have code, without imports, docstrings and comments."""
    text = module.read_text()
    said: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text or isinstance(node, ast.Import | ast.ImportFrom):
            said |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))  # type: ignore[attr-defined]
    nothing = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    code = {
        line
        for token in tokens
        if token.type not in nothing | {tokenize.ENDMARKER}
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(code - said)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_it_needs_only_httpx(module: Path):
    """And each framework only the module that is for it."""
    ours = {"cerrojo_client", "httpx", *FRAMEWORKS.get(module.stem, set())}
    assert imported(module) - ours <= sys.stdlib_module_names


@pytest.mark.parametrize("name", [*FRAMEWORKS, "wsgi", "asgi"])
def test_what_goes_before_a_login_is_short(name: str):
    """So that it can be read before it is trusted."""
    assert lines_of_code(PACKAGE / f"{name}.py") <= LINES


def test_its_types_are_for_those_who_install_it():
    """PEP 561."""
    assert (PACKAGE / "py.typed").exists()


def test_its_licence_is_the_project_s():
    """Each has its text."""
    assert (PACKAGE.parent / "LICENSE").read_text() == (PROJECT / "LICENSE").read_text()
