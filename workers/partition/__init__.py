"""A partition's owner: claims the partition, reads attempts, commits and publishes decisions.

All I/O of a worker is here. The decisions themselves are in `workers.decision`.
"""
