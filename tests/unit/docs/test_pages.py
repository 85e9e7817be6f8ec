"""The things that the pages name are there: files, modules, commands."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.paths import PROJECT

README = PROJECT / "README.md"
PAGES = [
    *PROJECT.glob("*.md"),
    *(PROJECT / "docs").rglob("*.md"),
    PROJECT / "clients" / "python" / "README.md",
]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
ANCHOR = re.compile(r"\]\((?!https?:)([^)#]*)#([^)]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`((?:\w+/)+\w+\.\w+)`")
MODULE = re.compile(
    r"`((?:cerrojo|gateway|workers|events|oracle|processes|sql|local|loadtest|bench|tests)"
    r"\.(?!json`)[\w.]+)`"
)

TEST = re.compile(r"`(test_\w+)`")
"""A test that is named alone, without its file."""


def text(page: Path) -> str:
    """The page without what Markdown needs to show underscores."""
    return page.read_text().replace("\\_", "_")


def anchors(page: Path) -> list[str]:
    """The page's headings, as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def unknown(name: str) -> str | None:
    """The part of a dotted name that is neither a module nor written in one; None if all is."""
    parts = name.split(".")
    path = PROJECT
    while parts and (path / parts[0]).is_dir():
        path /= parts.pop(0)
    if not parts:
        return None
    module = path / f"{parts[0]}.py"
    if not module.is_file():
        return parts[0]
    code = module.read_text()
    return next((part for part in parts[1:] if not re.search(rf"\b{part}\b", code)), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_what_a_page_names_is_there(page: Path):
    """A renamed file or class takes its pages along."""
    links = [link for link in LINK.findall(text(page)) if not (page.parent / link).exists()]
    files = [path for path in FILE.findall(text(page)) if not (PROJECT / path).exists()]
    names = [name for name in MODULE.findall(text(page)) if unknown(name)]
    assert (links, files, names) == ([], [], [])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_a_link_leads_to_a_part_that_is_there(page: Path):
    """A heading that is renamed or moved takes its links along, and is the only one of its name."""
    lost = []
    for link, anchor in ANCHOR.findall(text(page)):
        target = (page.parent / link).resolve() if link else page
        if target.suffix == ".md" and anchors(target).count(anchor) != 1:
            lost.append(f"{link}#{anchor}")
    assert lost == []


def test_a_test_that_a_page_names_is_there():
    """A page says that a promise is attacked, and by what: a test that is gone attacks nothing."""
    code = "".join(path.read_text() for path in (PROJECT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^(?:async )?def (test_\w+)\(", code, re.MULTILINE))
    named = {name for page in PAGES for name in TEST.findall(text(page))}
    assert len(named) > 50
    assert named <= there


def test_the_readme_leads_to_every_page():
    """A page that nothing leads to is read by nobody."""
    linked = {(PROJECT / link).resolve() for link in LINK.findall(text(README))}
    assert {page for page in PAGES if page != README} <= linked


def test_a_word_stands_in_the_glossary_once():
    """Two rows of one word are two meanings; each then says what it is of."""
    terms = re.findall(r"^\| (.+?) \| ", text(PROJECT / "docs" / "glossary.md"), re.MULTILINE)
    words = Counter(word for term in terms if term != "term" for word in term.split(", "))
    assert len(words) > 100
    assert [word for word, times in words.items() if times > 1] == []


def test_the_readme_is_short():
    """Else nobody reads it to its end."""
    assert len(text(README).splitlines()) <= 200


def test_a_commit_is_checked_by_what_make_checks():
    """The two lists are one."""
    rule = (PROJECT / "Makefile").read_text().partition("\ncheck: ")[2].partition("\n\n")[0]
    commands = [line.replace("$(BIN)", ".venv/bin") for line in re.findall(r"\t@(.*)", rule)]
    config = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())
    *hooks, subject = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert [hook["entry"] for hook in hooks] == commands
    assert subject["id"] == "subject"


@pytest.mark.parametrize(
    ("message", "passes"),
    [
        ("Refuse a head that is too large\n\nBecause.", True),
        ("Refuse it", True),
        ("x" * 71 + "\n", True),
        ("x" * 72 + "\n", False),
        ("Refuse a head that is too large.\n", False),
        ("\nRefuse it", False),
    ],
)
def test_a_commit_s_subject_is_short_and_no_sentence(message: str, passes: bool):
    """By the pattern that pre-commit looks for in the message."""
    config = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())
    hook = config["repos"][-1]["hooks"][-1]
    assert hook["args"] == ["--multiline", "--negate"]
    assert bool(re.search(hook["entry"], message, re.MULTILINE | re.DOTALL)) == passes
