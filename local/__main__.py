"""`python -m local`: up, lock, prepare."""

from __future__ import annotations

import argparse
import sys

from settings import SettingsError, load


def main() -> int:
    """Run the command of the command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="bring up the whole system; Ctrl-C stops it")
    commands.add_parser("lock", help="resolve Kafka's jars and pin them in local/jars.lock")
    prepare = commands.add_parser("prepare", help="prepare a server's first start (used by up)")
    names = ("postgres", "kafka", "kafka-1", "kafka-2", "kafka-3")
    prepare.add_argument("server", choices=names)
    arguments = parser.parse_args()
    try:
        if arguments.command == "lock":
            from local import jars

            print(f"{len(jars.make_lock())} jars are pinned in {jars.LOCK}.")
            return 0
        if arguments.command == "prepare":
            from local import prepare as preparation

            return preparation.run(arguments.server, load())
        from local import up

        return up.run(load())
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
