"""Attack a whole system, and judge: `python -m loadtest.attacks`, which is `make attack`.

It starts a system of its own, or takes the one that LOGIN_URL and OPERATOR_URL name. Prints a
table: the attack, its tries, what was promised and what happened. The status is 1 where a promise
broke, or where the system is not set up for an attack.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import time

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loadtest.attacks import (
    connections,
    floods,
    garbage,
    guesses,
    heads,
    pages,
    sources,
    texts,
    tokens,
)
from loadtest.attacks.attack import Attack, Outcome, System, UnmetError, port_of
from loadtest.attacks.own import LOG, own_system
from loadtest.attacks.wire import ask

KINDS = (guesses, tokens, pages, garbage, texts, heads, connections, floods, sources)
"""The modules of attacks, in the order in which they run. A botnet comes last: for a quarter of an
hour after it, sources have fewer guesses."""

ATTACKS: tuple[Attack, ...] = tuple(attack for kind in KINDS for attack in kind.ATTACKS)


def main() -> int:
    """Run the attacks and print the table; 1 where a promise broke or nothing is up."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.attacks", description=__doc__)
    variable = os.environ.get
    parser.add_argument(
        "--login-url", default=variable("LOGIN_URL", ""), help="of a system that is up"
    )
    parser.add_argument(
        "--operator-url", default=variable("OPERATOR_URL") or "http://127.0.0.1:5000"
    )
    parser.add_argument(
        "--only",
        default=os.environ.get("ATTACKS", ""),
        help="attacks whose names have one of these in them: idle,half-open",
    )
    parser.add_argument("--list", action="store_true", help="say what there is, and attack nothing")
    options = parser.parse_args()
    wanted = [text for text in options.only.split(",") if text]
    chosen = [one for one in ATTACKS if not wanted or any(text in one.name for text in wanted)]
    if options.list or not chosen:
        print("\n".join(f"{attack.name}: {attack.promise}" for attack in ATTACKS))
        return 0 if options.list else 1
    _allow_files()
    if not options.login_url:
        print("A system of its own is starting.")
        with own_system() as system:
            status = asyncio.run(_attack(system, chosen))
        print(f"What the system logged is in {LOG}.")
        return status
    try:
        login, operator = port_of(options.login_url), port_of(options.operator_url)
    except ValueError as error:
        sys.exit(str(error))
    system = System(login, operator, block_token=variable("ATTACK_BLOCK_TOKEN", ""))
    return asyncio.run(_attack(system, chosen))


async def _attack(system: System, attacks: list[Attack]) -> int:
    console = Console()
    ready = await ask(system.operator, "GET", "/readyz")
    if ready.status != 200:
        console.print(
            f"{system.operator} is not ready ({ready.status or 'no answer'}). Start the system "
            "with `make up`, name its ports by --login-url and --operator-url, or name none."
        )
        return 1
    table = Table("attack", "tries", "promised", "happened", "s", "", show_lines=True)
    broken = 0
    for attack in attacks:
        began = time.monotonic()
        verdict = "BROKEN"
        with console.status(f"Attack: {escape(attack.name)}"):
            try:
                outcome = await attack.run(system)
            except UnmetError as error:
                outcome, verdict = Outcome(0, str(error), held=False), "NOT RUN"
            except Exception as error:
                outcome = Outcome(0, f"it ended with {type(error).__name__}: {error}", held=False)
        broken += not outcome.held
        seconds = f"{time.monotonic() - began:.0f}"
        style = "green" if outcome.held else "red"
        verdict = "held" if outcome.held else verdict
        table.add_row(
            escape(attack.name),
            f"{outcome.tries:,}",
            escape(attack.promise),
            escape(outcome.happened),
            seconds,
            f"[{style}]{verdict}",
        )
        console.print(f"{attack.name}: [{style}]{verdict}[/], {escape(outcome.happened)}")
    console.print(table)
    console.print(f"{len(attacks)} attacks, {broken} promises broken or not tried.")
    return 1 if broken else 0


def _allow_files() -> None:
    """Let this process open as many connections as an attack has."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
