"""The Spanish pages say what the English ones say, as far as a program can see it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.paths import PROJECT

PAIRS = [
    (PROJECT / "README.md", PROJECT / "docs" / "es" / "README.md"),
    (PROJECT / "docs" / "operations.md", PROJECT / "docs" / "es" / "operations.md"),
]
ENGLISH_OF = {spanish: english for english, spanish in PAIRS}

BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!-- (.*?)(?:, es)? -->")
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)[^)]*\)")
NUMBER = re.compile(r"\d[\d.,]*\d|\d")
OTHER_LANGUAGE = re.compile(r"^(?:\[In English\]|En español: ).*$", re.MULTILINE)


class Facts(NamedTuple):
    """All of a text that no translation changes, in any order."""

    names: Counter[str]
    links: Counter[Path]
    numbers: Counter[str]


class Section(NamedTuple):
    """What stands under a heading."""

    heading: str
    level: int
    blocks: list[str]
    comments: list[str]
    items: int
    """Of its lists."""
    rows: list[list[Facts]]
    """Of its tables, by cell."""
    prose: Facts


def facts(text: str, page: Path) -> Facts:
    """Those of this text. A link to a Spanish page counts as one to the English page."""
    targets = [(page.parent / link).resolve() for link in LINK.findall(text)]
    rest = LINK.sub("]", CODE.sub("", text))
    return Facts(
        Counter(" ".join(name.split()) for name in CODE.findall(text)),
        Counter(ENGLISH_OF.get(target, target) for target in targets),
        Counter(NUMBER.findall(rest)),
    )


def sections(page: Path) -> list[Section]:
    """The page, heading by heading."""
    blocks = iter(BLOCK.findall(page.read_text()))
    text = OTHER_LANGUAGE.sub("", BLOCK.sub("```", page.read_text()))
    made = []
    for part in re.split(r"^(?=#+ )", text, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        prose, rows = [], []
        for line in body.splitlines():
            if line.startswith("|"):
                cells = re.split(r"(?<!\\)\|", line.strip("|"))
                rows.append([facts(cell, page) for cell in cells])
            elif line != "```":
                prose.append(COMMENT.sub("", line))
        made.append(
            Section(
                heading=heading.lstrip("# "),
                level=len(heading.split()[0]),
                blocks=[next(blocks) for line in body.splitlines() if line == "```"],
                comments=COMMENT.findall(body),
                items=len(re.findall(r"^(?:- |\d+\. )", body, re.MULTILINE)),
                rows=rows,
                prose=facts("\n".join(prose), page),
            )
        )
    return made


def difference(english: Facts, spanish: Facts) -> str:
    """What one of both lacks or has too often; empty if they agree."""
    return "; ".join(
        f"{what} {kind}: {', '.join(map(str, (one - other).elements()))}"
        for kind, left, right in zip(Facts._fields, english, spanish, strict=True)
        for what, one, other in (("lacks", left, right), ("has too many", right, left))
        if one - other
    )


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].name)
def test_both_pages_have_the_same_parts(pair: tuple[Path, Path]) -> None:
    """Headings of the same levels, with the same blocks, lists, comments and tables."""
    english, spanish = (sections(page) for page in pair)
    assert [section.level for section in spanish] == [section.level for section in english]
    for theirs, ours in zip(english, spanish, strict=True):
        where = f"{ours.heading} ({theirs.heading})"
        assert ours.blocks == theirs.blocks, where
        assert ours.comments == theirs.comments, where
        assert ours.items == theirs.items, where
        assert [len(row) for row in ours.rows] == [len(row) for row in theirs.rows], where


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].name)
def test_both_pages_have_the_same_names_links_and_figures(pair: tuple[Path, Path]) -> None:
    """Of settings, commands, metrics and alerts; in a table each in the same cell."""
    wrong = []
    for theirs, ours in zip(*(sections(page) for page in pair), strict=True):
        where = f"{ours.heading} ({theirs.heading})"
        compared = [(where, theirs.prose, ours.prose)]
        for number, rows in enumerate(zip(theirs.rows, ours.rows, strict=True)):
            compared += [(f"{where}, row {number}", *cells) for cells in zip(*rows, strict=True)]
        wrong += [f"{at}: {said}" for at, *both in compared if (said := difference(*both))]
    assert wrong == [], "\n".join(wrong)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].name)
def test_each_page_leads_to_the_other(pair: tuple[Path, Path]) -> None:
    """In its first lines, or a reader of the other language never finds it."""
    for page, other in (pair, pair[::-1]):
        [line] = OTHER_LANGUAGE.findall(page.read_text())
        assert page.read_text().index(line) < 100
        assert other in {(page.parent / link).resolve() for link in LINK.findall(line)}
