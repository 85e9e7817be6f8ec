"""Runs commands of `cerrojo`: each is a line of JSON on stdin, its outcome one on stdout."""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from tempfile import TemporaryFile

from cerrojo.__main__ import main as cerrojo


def main() -> None:
    """Until stdin ends."""
    jobs = os.fdopen(os.dup(0))
    outcomes = os.fdopen(os.dup(1), "w")
    for line in jobs:
        outcomes.write(json.dumps(run(**json.loads(line))) + "\n")
        outcomes.flush()
        gc.collect()  # the clients of Kafka that the command leaves to its end


def run(env: dict[str, str], words: list[str], given: str) -> dict[str, object]:
    """Its exit code, and what it wrote: it has files for its three streams."""
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["cerrojo", *words]
    with TemporaryFile("w+") as stdin, TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
        stdin.write(given)
        stdin.seek(0)
        for number, file in enumerate((stdin, stdout, stderr)):
            os.dup2(file.fileno(), number)
        sys.stdin, sys.stdout, sys.stderr = stdin, stdout, stderr
        code: object = 0
        try:
            cerrojo()
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        stdout.seek(0)
        stderr.seek(0)
        return {"returncode": code, "stdout": stdout.read(), "stderr": stderr.read()}


if __name__ == "__main__":
    main()
