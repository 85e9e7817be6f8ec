"""The command of people: `cerrojo`, with tables in a terminal and JSON in a pipe.

What it does is in the packages that it is about; here are the words, options and tables. No process
of the gateway or the workers loads it.
"""

from processes.lean_imports import load_structlog

load_structlog()  # before any module here imports it
