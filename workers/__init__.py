"""The partitions' owners. Each decides the attempts of its partition's users in log order.

Code that several rooms share lives here itself: the metrics, and the command line of `python -m
workers`. A worker may not know of HTTP, of passwords or of hashes, nor import `gateway`.
"""

from processes.lean_imports import load_prometheus, load_structlog

load_structlog()  # before any module here imports it
load_prometheus()
