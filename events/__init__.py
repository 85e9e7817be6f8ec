"""The messages, topics and positions that the gateway and the workers share.

The form of a record and its place live here, and the ways to make and read the topics. The
consequences of a record may not: nothing here decides, serves or stores, or imports `gateway` or
`workers`.
"""

from processes.lean_imports import load_structlog

load_structlog()  # before any module here imports it
