"""HTTP in, verdict out: the login port, the operator port, and what they need.

What several rooms share lives here itself: errors, metrics, services, and the start of a process.
The gateway may not decide or write a lock state, nor import `workers`; a password may not leave it.
"""

from processes.lean_imports import load_structlog

load_structlog()  # before any module here imports it
