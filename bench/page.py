"""`python -m bench.page FILE...`: keeps what was measured, and writes the pages' figures from it.

A file is a `results.json` of `make bench` or a `costs.json` of `make costs`. Its rows take the
place of those that `docs/performance.json` has; the others stay, with their own commits. Then the
sections between `<!-- figures: NAME -->` and `<!-- end of figures -->` are written anew, in
`docs/performance.md` and in the READMEs, of which one is Spanish. Without a file only that.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec

from bench.__main__ import ROWS
from bench.errors import BenchError
from bench.figures import Figure, Row
from bench.harness import SIZES
from bench.plan_figures import FILE, Costs, load
from bench.planning import DAY, Assumptions, plan
from bench.report import NO_FIGURE, Run, cells, number
from bench.system import PROJECT

KEPT = PROJECT / "docs" / "performance.json"
PAGES = (
    PROJECT / "docs" / "performance.md",
    PROJECT / "README.md",
    PROJECT / "docs" / "es" / "README.md",
)
SECTION = re.compile(r"(<!-- figures: (.+?) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
IN_README = ("P1a", "P1b", "P2", "P3")
BESIDE_A_ROW_LOCK = "P12"
NUMBER = re.compile(r"\d[\d,.]*\d|\d")
LOGINS = 100_000.0  # a second, of the plan
BUSY = 0.7  # of everything, at its peak

SPANISH = {
    "measured": "medido",
    "limit": "límite",
    "ratio": "proporción",
    "at": "en",
    "a row lock in Postgres": "un bloqueo de fila en Postgres",
    "logins at saturation, of bare argon#.verify on every core by the stock wheel": (
        "logins en saturación, frente a argon#.verify solo en cada núcleo, con el wheel publicado"
    ),
    "logins at saturation, of bare argon#.verify on every core by the build in use": (
        "logins en saturación, frente a argon#.verify solo en cada núcleo, con el binario en uso"
    ),
    "logins with argon#'s cheapest hash, # connections, of a bare route": (
        "logins con el hash más barato de argon#, # conexiones, frente a una ruta vacía"
    ),
    "p# of a login less its own hash, at #/s": "p# de un login menos su propio hash, a #/s",
    "answers # to # wrong ones at once, of # accounts that furthest from #": (
        "respuestas # a # incorrectas a la vez; de # cuentas, la más alejada de #"
    ),
    "right ones refused of # at once, the worst of # accounts": (
        "correctas rechazadas de # a la vez; la peor de # cuentas"
    ),
    "logins at saturation with the real hash": "logins en saturación con el hash real",
    "logins at saturation with argon#'s cheapest hash": (
        "logins en saturación con el hash más barato de argon#"
    ),
    "slowest answer around Postgres' absence": (
        "respuesta más lenta en torno a la ausencia de Postgres"
    ),
    "from Postgres' return to the last login that is refused": (
        "desde la vuelta de Postgres hasta el último login rechazado"
    ),
    "wrong ones revealed then, and in no table afterwards": (
        "incorrectas reveladas entonces que después no están en ninguna tabla"
    ),
    "logins/s take": "logins/s necesitan",
    "cores for hashes and": "núcleos para hashes y",
    "for everything else": "para todo lo demás",
}
"""What the README's sections say, with # for each number."""


class Kept(msgspec.Struct, kw_only=True):
    """The contents of `docs/performance.json`."""

    rows: dict[str, Row] = {}
    costs: Costs | None = None


def main() -> int:
    """Take in the files and write the pages; 1, and nothing written, where a file will not do."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    try:
        kept = read(KEPT)
        for file in parser.parse_args().files:
            take_in(kept, file)
        pages = {page: written(page.read_text(), sections(kept)) for page in PAGES}
    except (BenchError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
    for page, text in pages.items():
        page.write_text(text)
        print(f"Written: {page.relative_to(PROJECT)}")
    return 0


def read(path: Path) -> Kept:
    """The contents of this file. Raises BenchError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Kept)
    except msgspec.DecodeError as error:
        raise BenchError(f"{path} is no file of kept figures: {error}.") from None


def take_in(kept: Kept, path: Path) -> None:
    """Keep what this file has in the place of what there was. Raises BenchError.

    It takes only figures that somebody could measure again, and in a size that says something.
    """
    if path.name == FILE:
        kept.costs = costs = load(path)
        _require_commit(path, costs.commit)
        return
    try:
        run = msgspec.json.decode(path.read_bytes(), type=Run)
    except (OSError, msgspec.DecodeError) as error:
        raise BenchError(f"{path} cannot be used as results of `make bench`: {error}") from None
    if run.size not in SIZES or not SIZES[run.size].judged:
        raise BenchError(f"{path} is of SIZE={run.size}, which gives no figures. Measure in usual.")
    for name, row in run.rows.items():
        _require_commit(path, row.commit)
        kept.rows[name] = msgspec.structs.replace(row, plots=[])


def _require_commit(path: Path, commit: str) -> None:
    if commit.endswith("-dirty") or commit == "unknown":
        raise BenchError(
            f"{path} is of {commit}, which is no commit: nobody could measure that again. Commit, "
            "then measure."
        )


def written(text: str, by_name: Mapping[str, str]) -> str:
    """The page with these sections; those without figures stay as they are."""
    return SECTION.sub(
        lambda found: found[1] + by_name[found[2]] + found[3] if found[2] in by_name else found[0],
        text,
    )


def sections(kept: Kept) -> dict[str, str]:
    """The lines of those sections that there are figures for, by name."""
    made = {"rows": _table(kept.rows), "what limits": _notes(kept.rows)}
    if kept.costs:
        made["plan"] = _plan(kept.costs)
    for suffix, words in (("", {}), (", es", SPANISH)):
        made[f"rows in short{suffix}"] = _in_short(kept.rows, words)
        made[f"side by side{suffix}"] = _side_by_side(kept.rows.get(BESIDE_A_ROW_LOCK), words)
        if kept.costs:
            made[f"plan in short{suffix}"] = _plan_in_short(kept.costs, words)
    return made


def _table(rows: Mapping[str, Row]) -> str:
    runs = _letters(rows.values())
    lines = ["| row | what | ours | limit | ratio | goal | | measured |", "|" + "---|" * 8]
    for name in sorted(ROWS, key=_number_of):
        row = rows.get(name)
        if row is None or not row.figures:
            lines.append(f"| {name} | {NO_FIGURE} | | | | | | {_measured(row, runs)} |")
            continue
        for figure in row.figures:
            listed = [re.sub(r"<(?=\w)", r"\<", cell) for cell in cells(figure)]
            lines.append(f"| {' | '.join(listed)} | {_measured(row, runs)} |")
    machines = [f"{letter}: {machine}." for machine, letter in runs.items()]
    return "\n".join(lines) + "\n\n" + _wrapped(machines)


def _measured(row: Row | None, runs: Mapping[str, str]) -> str:
    if row is None:
        return ""
    size = row.size and f"`SIZE={row.size}`"
    return ", ".join(filter(None, (row.commit, row.at[:10], size, runs[row.machine])))


def _letters(rows: Iterable[Row]) -> dict[str, str]:
    """A letter for each machine (and its load), in the order of the rows."""
    machines = dict.fromkeys(row.machine for row in rows)
    return {machine: chr(ord("A") + n) for n, machine in enumerate(machines)}


def _notes(rows: Mapping[str, Row]) -> str:
    return _wrapped(
        f"- {name}: {note.rstrip('.')}."
        for name, row in sorted(rows.items(), key=lambda item: _number_of(item[0]))
        for note in row.notes
    )


def _in_short(rows: Mapping[str, Row], words: Mapping[str, str]) -> str:
    lines = _heads(["", "Cerrojo", "limit", "ratio", "measured"], words)
    for row in sorted(rows.values(), key=lambda row: _number_of(_first(row))):
        for figure in row.figures:
            if figure.row in IN_README and figure.measured:
                ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
                of_figure = [_said(figure.what, words), _ours(figure), _limit(figure), ratio]
                lines.append(f"| {' | '.join(of_figure)} | {figure.row}, {row.commit} |")
    return "\n".join(lines) + "\n"


def _side_by_side(row: Row | None, words: Mapping[str, str]) -> str:
    """Cerrojo and the contender, whose figures stand in the place of limits."""
    measured = f"{BESIDE_A_ROW_LOCK} {_said('at', words)} {row.commit}" if row else NO_FIGURE
    lines = _heads([measured, "Cerrojo", "a row lock in Postgres"], words)
    for figure in row.figures if row else ():
        if figure.measured:
            lines.append(f"| {_said(figure.what, words)} | {_ours(figure)} | {_limit(figure)} |")
    return "\n".join(lines) + "\n"


def _heads(heads: Sequence[str], words: Mapping[str, str]) -> list[str]:
    return [f"| {' | '.join(words.get(head, head) for head in heads)} |", "|" + "---|" * len(heads)]


def _first(row: Row) -> str:
    return row.figures[0].row if row.figures else "P0"


def _said(what: str, words: Mapping[str, str]) -> str:
    """The same in these words, which have # for each of its numbers; as it is, if they lack it."""
    numbers = iter(NUMBER.findall(what))
    pattern = NUMBER.sub("#", what)
    return re.sub("#", lambda _: next(numbers), words.get(pattern, pattern))


def _ours(figure: Figure) -> str:
    return _with_unit(median(figure.ours), figure.unit)


def _limit(figure: Figure) -> str:
    return _with_unit(median(figure.limit), figure.unit) if figure.limit else ""


def _with_unit(value: float, unit: str) -> str:
    return f"{number(value)} {unit}".replace(" /s", "/s").strip()


def _plan(costs: Costs) -> str:
    made = plan(LOGINS, costs, Assumptions(BUSY, costs.cores))
    postgres = costs.lookup_core_ms + costs.commit_core_ms
    lines = _wrapped(
        [
            f"A login costs {costs.hash_core_ms:.1f} ms of a core for its hash, "
            f"{costs.gateway_core_ms:.2f} ms for the gateway besides, {costs.kafka_core_ms:.2f} ms "
            f"for Kafka, {postgres:.2f} ms for Postgres and {costs.worker_core_ms:.2f} ms for a "
            f"worker ({costs.commit}, {costs.at[:10]}; {costs.machine}). So:"
        ]
    )
    lines += f"\n| for {LOGINS:,.0f} logins/s | cores | share | that is |\n|---|---|---|---|\n"
    for need in made.needs:
        share = f"{need.cores / made.cores:.1%}"
        lines += f"| {need.part} | {need.cores:,.1f} | {share} | {need.servers} |\n"
    day = sum(DAY) / len(DAY)
    lines += "\n" + _wrapped(
        [
            f"That is {made.core_hours_following:,.0f} core-hours a day if it follows the load, "
            f"and {made.core_hours_kept_up:,.0f} if everything is up all day. It assumes that a "
            f"day's mean is {day:.0%} of its peak, and that at the peak everything is {BUSY:.0%} "
            "busy."
        ]
    )
    lines += "\n| up to logins/s | carries | past it |\n|---|---|---|\n"
    for ceiling in made.ceilings:
        lines += f"| {ceiling.logins_per_second:,.0f} | {ceiling.what} | {ceiling.then} |\n"
    return lines


def _plan_in_short(costs: Costs, words: Mapping[str, str]) -> str:
    made = plan(LOGINS, costs, Assumptions(BUSY, costs.cores))
    hashes = made.needs[0].cores
    take, cores, rest = (
        words.get(text, text)
        for text in ("logins/s take", "cores for hashes and", "for everything else")
    )
    return _wrapped(
        [
            f"{LOGINS:,.0f} {take} {hashes:,.0f} {cores} {made.cores - hashes:,.0f} {rest} "
            f"(`make plan N={LOGINS:.0f}`, {costs.commit})."
        ]
    )


def _number_of(row: str) -> int:
    return int(re.findall(r"\d+", row)[0])


def _wrapped(paragraphs: Iterable[str] | Sequence[str]) -> str:
    """Lines of at most a hundred characters; those of a list are indented."""
    return "".join(
        textwrap.fill(
            paragraph,
            100,
            subsequent_indent="  " if paragraph.startswith("- ") else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
        + "\n"
        for paragraph in paragraphs
    )


if __name__ == "__main__":
    sys.exit(main())
