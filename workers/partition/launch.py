"""The command line and the exit code of a worker's process, for the supervisor and the worker."""

from __future__ import annotations

import sys

COMMAND = (sys.executable, "-m", "workers.partition")
"""Starts a worker's process. A partition's number or a standby's name is to be appended."""

FENCED = 3
"""The exit code of a worker whose partition has another owner."""

RECORD_NOT_TO_BLAME = "excused"
"""The flag after the number that says that no record killed the last owner (`poison_records`)."""

STANDBY = "standby-"
"""A standby's name until it gets a partition: this and a number."""
