"""Runs commands of `cerrojo`: each is a line of JSON on stdin, its outcome one on stdout."""

from __future__ import annotations

import json
import os
import sys
import traceback

from typer.testing import CliRunner

from cerrojo.__main__ import MODULES, application


def main() -> None:
    """Until stdin ends."""
    for line in sys.stdin:
        job = json.loads(line)
        os.environ.clear()
        os.environ.update(job["env"])
        words = job["words"]
        command = application(*(word for word in words[:1] if word in MODULES))
        done = CliRunner().invoke(command, words, input=job["given"], prog_name="cerrojo")
        stderr = done.stderr
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            stderr += "".join(traceback.format_exception(done.exception))
        end = {"returncode": done.exit_code, "stdout": done.stdout, "stderr": stderr}
        sys.stdout.write(json.dumps(end) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
